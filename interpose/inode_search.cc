#include "interpose/inode_search.h"

#include <dirent.h>

#include <deque>
#include <memory>
#include <string_view>

namespace beam::interpose {

std::string find_inode_near(const std::string& path, ino_t inode) {
  constexpr int kMost = 20000;
  int seen = 0;
  std::string done;  // where it has been looked below already
  for (std::size_t slash = path.find_last_of('/'); slash != std::string::npos && slash > 0 && seen < kMost;
       slash = path.find_last_of('/', slash - 1)) {
    std::deque<std::string> directories{path.substr(0, slash)};
    const std::string top = directories.front();
    while (!directories.empty() && seen < kMost) {
      const std::string directory = std::move(directories.front());
      directories.pop_front();
      const std::unique_ptr<DIR, int (*)(DIR*)> listing(::opendir(directory.c_str()), &::closedir);
      while (const dirent* entry = listing && seen < kMost ? ::readdir(listing.get()) : nullptr) {
        ++seen;
        const std::string_view name = entry->d_name;
        if (name == "." || name == "..") {
          continue;
        }
        std::string at = directory + "/" + entry->d_name;
        if (entry->d_ino == inode) {
          return at;
        }
        if (entry->d_type == DT_DIR && at != done) {
          directories.push_back(std::move(at));
        }
      }
    }
    done = top;
  }
  return "";
}

}  // namespace beam::interpose
