// Files of the workstation and of a private layer, by a directory's descriptor and a path that may not have a symbolic
// link in it: what is opened lies where its path says. The primitives that the mount view is made of.
//
// Functions return 0 or an errno value, and own nothing.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"

namespace beam::rootfs {

// "" is the directory itself. ELOOP when a component is a symbolic link; the last one may be with O_PATH. Paths longer
// than PATH_MAX are walked in parts.
[[nodiscard]] int open_beneath(int directory, std::string_view path, int flags, mode_t mode, UniqueFd& fd);
// The target of the link that an O_PATH descriptor stands for.
[[nodiscard]] int read_link_of(int fd, std::string& target);
// A path by which this process finds what the descriptor stands for.
[[nodiscard]] std::string descriptor_path(int fd);
// What a link of /proc leads to, as readlink(2) tells it. A directory deeper than a path can say (PATH_MAX) is asked
// for its place step by step upwards.
[[nodiscard]] int read_proc_link(const std::string& link, std::string& target);
[[nodiscard]] std::string join_path(std::string_view directory, std::string_view rest);

// Whom the kernel takes this thread for where files are concerned (setfsuid(2)).
[[nodiscard]] uid_t acting_uid();
[[nodiscard]] gid_t acting_gid();

// While it lives, a thread that acts on files under a program's ids (setfsuid(2)) acts under the process's own: for
// what is no change of the program's, but of how its layer holds it. Only root can have other ids.
class OwnIds {
 public:
  OwnIds();
  ~OwnIds();
  OwnIds(const OwnIds&) = delete;
  OwnIds& operator=(const OwnIds&) = delete;

 private:
  bool changed_ = false;
  uid_t uid_ = 0;
  gid_t gid_ = 0;
};

struct DirectoryEntry {
  std::string name;
  unsigned char type;  // DT_*, never DT_UNKNOWN
};
// All but "." and "..". `directory` is left at its end.
[[nodiscard]] int read_directory(int directory, std::vector<DirectoryEntry>& entries);
[[nodiscard]] int has_entries(int directory, bool& some);

// A directory of one's own that is read and searched whatever its mode says. The mode comes back with the end of this.
class OwnDirectory {
 public:
  OwnDirectory() = default;
  ~OwnDirectory();
  OwnDirectory(const OwnDirectory&) = delete;
  OwnDirectory& operator=(const OwnDirectory&) = delete;
  [[nodiscard]] int open(int base, std::string_view path);
  // The same by a path of this process's, whose last component alone may not be a link.
  [[nodiscard]] int open(const std::string& path);
  [[nodiscard]] int get() const { return fd_.get(); }
  [[nodiscard]] const struct stat& status() const { return status_; }  // as it was

 private:
  [[nodiscard]] int open_found(const UniqueFd& found);
  UniqueFd fd_;
  struct stat status_ {};
  bool changed_ = false;
};

// Copies what a copy-up keeps of a file. Holes stay holes, and blocks are shared where the file system can.
[[nodiscard]] int copy_contents(int from, int to);
// Owner, permissions, extended attributes and, at last, times. As an ordinary user, an owner that can't be given stays
// out, and so do attributes that can't be set. `to` may be an O_PATH descriptor.
[[nodiscard]] int copy_attributes(int from, int to, const struct stat& status);

}  // namespace beam::rootfs
