// From the options of `beam run` to the mounts of a view.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "rootfs/view_options.h"

namespace beam::rootfs {

struct MountOptions {
  std::vector<std::string> writable;  // --rw PATH
  std::vector<std::string> binds;     // --bind SRC:DST[:ro]
  std::vector<std::string> tmpfs;     // --tmpfs DST
  std::vector<std::string> hidden;    // --hide PATH
  std::vector<std::string> shown;     // --show PATH
  std::string home;                   // whose secrets are hidden; empty: nobody's
  std::string directory;              // relative paths start here
  // Of Beam itself, and never in a view.
  std::vector<std::string> own;
};

// Shorter paths first, so that the longest one that leads to a place decides; of equal ones the later option does. The
// error names the option.
[[nodiscard]] Result<std::vector<MountRequest>> plan_mounts(const MountOptions& options);

}  // namespace beam::rootfs
