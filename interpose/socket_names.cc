#include "interpose/socket_names.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <filesystem>

#include "rootfs/host_file.h"

namespace beam::interpose {

Result<std::unique_ptr<SocketNames>> SocketNames::create(const std::string& place) {
  std::string directory;
  for (const std::string& base :
       {place, std::string(std::getenv("XDG_RUNTIME_DIR") != nullptr ? std::getenv("XDG_RUNTIME_DIR") : ""),
        std::string("/tmp")}) {
    directory = base + "/beam-u.XXXXXX";
    if (!base.empty() && directory.size() + 24 < sizeof sockaddr_un{}.sun_path &&
        ::mkdtemp(directory.data()) != nullptr) {
      return std::unique_ptr<SocketNames>(new SocketNames(directory));
    }
  }
  return Error::from_errno("make a directory for socket names").remedy("XDG_RUNTIME_DIR should be a short path");
}

SocketNames::~SocketNames() {
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

// The kernel keeps the path that a socket was bound by, word for word. A link that is gone at once makes it a short one
// of its own.
int SocketNames::bind(int socket, int directory, const char* name, const std::string& shown) {
  // Another user gets to no link of this one's; that the caller may make the name has been seen.
  const auto owner = rootfs::acting_uid();
  const auto group = rootfs::acting_gid();
  const rootfs::OwnIds own_ids;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::string link;
  {
    const std::lock_guard lock(mutex_);
    link = directory_ + "/" + std::to_string(++counter_);
  }
  if (::symlink(("/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(directory)).c_str(), link.c_str()) !=
      0) {
    return errno;
  }
  std::string path = link + "/" + name;
  int error = 0;
  if (path.size() >= sizeof address.sun_path) {
    error = ENAMETOOLONG;
  } else {
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
    error = ::bind(socket, reinterpret_cast<const sockaddr*>(&address), length) == 0 ? 0 : errno;
  }
  ::unlink(link.c_str());
  struct stat made {};
  if (error == 0 && owner != ::geteuid() && ::fstatat(directory, name, &made, AT_SYMLINK_NOFOLLOW) == 0) {
    struct stat above {};
    const bool inherits = ::fstat(directory, &above) == 0 && (above.st_mode & S_ISGID) != 0;
    (void)::fchownat(directory, name, owner, inherits ? made.st_gid : group, AT_SYMLINK_NOFOLLOW);
  }
  if (error == 0) {
    std::error_code ignored;
    const std::string place = std::filesystem::read_symlink(rootfs::descriptor_path(directory), ignored).string();
    const std::lock_guard lock(mutex_);
    bound_[path] = {shown, place + "/" + name};
  }
  return error;
}

std::optional<SocketNames::Bound> SocketNames::find(const std::string& bound) const {
  const std::lock_guard lock(mutex_);
  const auto found = bound_.find(bound);
  return found != bound_.end() ? std::optional(found->second) : std::nullopt;
}

std::unique_ptr<SocketNames::Alias> SocketNames::alias(const std::string& target) {
  std::string link;
  {
    const std::lock_guard lock(mutex_);
    link = directory_ + "/" + std::to_string(++counter_);
  }
  return ::symlink(target.c_str(), link.c_str()) == 0 ? std::make_unique<Alias>(link) : nullptr;
}

SocketNames::Alias::~Alias() {
  ::unlink(path_.c_str());
}

}  // namespace beam::interpose
