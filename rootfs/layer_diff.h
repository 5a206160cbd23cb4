// What a private layer has changed of the workstation's files, and carrying it over. Reads the layer from the disk, so
// it works for a sandbox that runs and for one that has ended.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace beam::rootfs {

struct LayerChange {
  enum class Kind { kAdded, kModified, kDeleted };
  Kind kind = Kind::kAdded;
  std::string path;            // of the view, and where it goes on the workstation
  std::string source;          // what has the new state: in the layer, or of the workstation where it was only moved
  mode_t mode = 0;             // of the source
  bool changed_since = false;  // the workstation's file is not the one that the change began from
};

// Sorted by path; of a directory that is gone, only itself.
[[nodiscard]] Result<std::vector<LayerChange>> layer_changes(const std::string& layer);

// Makes the workstation's files as the changes say: each file by one rename, with its mode, times and attributes. Goes
// on to the end of the list; the error is the first one.
[[nodiscard]] Result<> apply_changes(const std::vector<LayerChange>& changes);

// Gives its owner every right in a layer that is about to be removed.
void open_layer(const std::string& layer);

}  // namespace beam::rootfs
