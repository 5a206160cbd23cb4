// Files and directories that have no name, or lost it: made again, without one.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace beam::migrate {

// An empty file, open for reading and writing, on the file system of `path` where that is to be had, else where
// temporary files are. `linkable`: linkat(2) may give it a name, as with O_TMPFILE; else it had one, at `path` if
// nothing stands there.
[[nodiscard]] Result<UniqueFd> nameless_file(const std::string& path, bool linkable);
// An empty directory that has been removed from `path`.
[[nodiscard]] Result<UniqueFd> nameless_directory(const std::string& path, mode_t mode);
// A file with a name that was free: `path` itself if it was. The name is the caller's to remove.
struct NamedFile {
  UniqueFd fd;  // for reading and writing
  std::string path;
};
[[nodiscard]] Result<NamedFile> named_file(const std::string& path);

}  // namespace beam::migrate
