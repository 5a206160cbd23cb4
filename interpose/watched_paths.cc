#include "interpose/watched_paths.h"

#include <sys/stat.h>

#include "interpose/inode_search.h"

namespace beam::interpose {
namespace {

constexpr std::size_t kTidyAt = 65536;

bool leads_to(const std::string& path, ino_t inode) {
  struct stat info {};
  return (::stat(path.c_str(), &info) == 0 && info.st_ino == inode) ||
         (::lstat(path.c_str(), &info) == 0 && info.st_ino == inode);
}

}  // namespace

void WatchedPaths::note(const std::string& host_path, bool follow) {
  struct stat info {};
  if ((follow ? ::stat(host_path.c_str(), &info) : ::lstat(host_path.c_str(), &info)) != 0) {
    return;
  }
  const std::lock_guard lock(mutex_);
  if (paths_.size() >= kTidyAt && !paths_.contains(info.st_ino)) {
    forget_stale();
  }
  paths_[info.st_ino].insert(host_path);
}

std::vector<std::string> WatchedPaths::of(ino_t inode) const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> found;
  if (const auto it = paths_.find(inode); it != paths_.end()) {
    for (const std::string& path : it->second) {
      if (leads_to(path, inode)) {
        found.push_back(path);
      } else if (const std::string other = find_inode_near(path, inode); !other.empty()) {
        found.push_back(other);
      }
    }
  }
  return found;
}

void WatchedPaths::forget_stale() {
  for (auto it = paths_.begin(); it != paths_.end();) {
    std::erase_if(it->second, [&](const std::string& path) { return !leads_to(path, it->first); });
    it = it->second.empty() ? paths_.erase(it) : std::next(it);
  }
}

}  // namespace beam::interpose
