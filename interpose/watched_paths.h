// Paths by which inotify(7) watches were set. The kernel keeps the inode alone, and a freeze has to know where to set
// the watch again. Thread-safe.
#pragma once

#include <sys/types.h>

#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace beam::interpose {

class WatchedPaths {
 public:
  // A path of the workstation that is about to be watched; `follow`: a link at its end, too.
  void note(const std::string& host_path, bool follow);
  // Paths that lead to this inode number on some file system, of those noted and what they have been renamed to.
  [[nodiscard]] std::vector<std::string> of(ino_t inode) const;

 private:
  void forget_stale();
  mutable std::mutex mutex_;
  std::map<ino_t, std::set<std::string>> paths_;
};

}  // namespace beam::interpose
