#include "rootfs/host_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace beam::rootfs {
namespace {

constexpr std::string_view kOwnAttributes = "user.beam.";

int open_short(int directory, const char* path, int flags, mode_t mode, UniqueFd& fd) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(static_cast<unsigned>(flags | O_NOFOLLOW | O_CLOEXEC));
  how.mode = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE ? mode : 0;
  how.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  for (;;) {
    const long got = ::syscall(SYS_openat2, directory, path, &how, sizeof how);
    if (got >= 0) {
      fd.reset(static_cast<int>(got));
      return 0;
    }
    if (errno !=
        EINTR) {  // EAGAIN: the holder of a lease is being asked (fcntl(2)); such a walk gives it for nothing else
      return errno;
    }
  }
}

int list_attributes(const std::string& path, std::string& names) {
  for (;;) {
    const ssize_t size = ::listxattr(path.c_str(), nullptr, 0);
    if (size <= 0) {
      names.clear();
      return size == 0 || errno == ENOTSUP ? 0 : errno;
    }
    names.resize(static_cast<std::size_t>(size));
    const ssize_t got = ::listxattr(path.c_str(), names.data(), names.size());
    if (got >= 0) {
      names.resize(static_cast<std::size_t>(got));
      return 0;
    }
    if (errno != ERANGE) {
      return errno;
    }
  }
}

// One attribute. What the file system or the account can't have is left out, as cp -a does.
int copy_attribute(const std::string& from, const std::string& to, const char* name) {
  std::string value;
  ssize_t size = ::getxattr(from.c_str(), name, nullptr, 0);
  if (size < 0) {
    return 0;
  }
  value.resize(static_cast<std::size_t>(size));
  size = ::getxattr(from.c_str(), name, value.data(), value.size());
  if (size < 0) {
    return 0;
  }
  if (::setxattr(to.c_str(), name, value.data(), static_cast<std::size_t>(size), 0) == 0 || errno == ENOTSUP ||
      errno == EPERM || errno == EACCES) {
    return 0;
  }
  return errno;
}

int copy_range(int from, int to, off_t begin, off_t end) {
  off_t in = begin;
  off_t out = begin;
  while (in < end) {
    const ssize_t got = ::copy_file_range(from, &in, to, &out, static_cast<std::size_t>(end - in), 0);
    if (got > 0) {
      continue;
    }
    if (got == 0) {
      return 0;  // it has become shorter
    }
    if (errno != EXDEV && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP) {
      return errno;
    }
    std::vector<char> buffer(1 << 16);
    while (in < end) {
      const auto wanted = std::min<std::size_t>(buffer.size(), static_cast<std::size_t>(end - in));
      const ssize_t read = ::pread(from, buffer.data(), wanted, in);
      if (read <= 0) {
        return read == 0 ? 0 : errno;
      }
      for (ssize_t done = 0; done < read;) {
        const ssize_t wrote =
            ::pwrite(to, buffer.data() + done, static_cast<std::size_t>(read - done), static_cast<off_t>(in + done));
        if (wrote < 0) {
          return errno;
        }
        done += wrote;
      }
      in += read;
    }
    return 0;
  }
  return 0;
}

// What `directory` calls the directory `child`. ENOENT: it has been removed.
int name_in(int directory, int child, std::string& name) {
  struct stat wanted {};
  std::vector<DirectoryEntry> entries;
  if (::fstat(child, &wanted) != 0) {
    return errno;
  }
  if (const int error = read_directory(directory, entries); error != 0) {
    return error;
  }
  for (DirectoryEntry& entry : entries) {
    struct stat status {};
    if (entry.type == DT_DIR && ::fstatat(directory, entry.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        status.st_dev == wanted.st_dev && status.st_ino == wanted.st_ino) {
      name = std::move(entry.name);
      return 0;
    }
  }
  return ENOENT;
}

}  // namespace

int open_beneath(int directory, std::string_view path, int flags, mode_t mode, UniqueFd& fd) {
  constexpr std::size_t kMost = PATH_MAX - 1;
  UniqueFd step;
  while (path.size() > kMost) {
    const std::size_t cut = path.rfind('/', kMost);
    if (cut == std::string_view::npos || cut == 0) {
      return ENAMETOOLONG;
    }
    UniqueFd next;
    if (const int error =
            open_short(directory, std::string(path.substr(0, cut)).c_str(), O_PATH | O_DIRECTORY, 0, next);
        error != 0) {
      return error;
    }
    step = std::move(next);
    directory = step.get();
    path.remove_prefix(std::min(path.find_first_not_of('/', cut), path.size()));
  }
  return open_short(directory, path.empty() ? "." : std::string(path).c_str(), flags, mode, fd);
}

int read_link_of(int fd, std::string& target) {
  char buffer[PATH_MAX];
  const ssize_t size = ::readlinkat(fd, "", buffer, sizeof buffer);
  if (size < 0) {
    return errno;
  }
  target.assign(buffer, static_cast<std::size_t>(size));
  return 0;
}

uid_t acting_uid() {
  return static_cast<uid_t>(::syscall(SYS_setfsuid, -1));
}

gid_t acting_gid() {
  return static_cast<gid_t>(::syscall(SYS_setfsgid, -1));
}

OwnIds::OwnIds() {
  if (::geteuid() != 0) {
    return;
  }
  // The group first on the way back, last on the way here: changing it needs root's capabilities.
  uid_ = static_cast<uid_t>(::syscall(SYS_setfsuid, ::geteuid()));
  gid_ = static_cast<gid_t>(::syscall(SYS_setfsgid, ::getegid()));
  changed_ = true;
}

OwnIds::~OwnIds() {
  if (changed_) {
    const int kept = errno;
    ::syscall(SYS_setfsgid, gid_);
    ::syscall(SYS_setfsuid, uid_);
    errno = kept;
  }
}

std::string descriptor_path(int fd) {
  return "/proc/self/fd/" + std::to_string(fd);
}

int read_proc_link(const std::string& link, std::string& target) {
  char buffer[PATH_MAX];
  const ssize_t size = ::readlink(link.c_str(), buffer, sizeof buffer);
  if (size >= 0) {
    target.assign(buffer, static_cast<std::size_t>(size));
    return 0;
  }
  if (errno != ENAMETOOLONG) {
    return errno;
  }
  UniqueFd at(::open(link.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!at) {
    return errno == ENOTDIR ? ENAMETOOLONG : errno;
  }
  std::string below;
  for (;;) {
    const UniqueFd parent(::openat(at.get(), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    std::string name;
    if (const int error = parent ? name_in(parent.get(), at.get(), name) : errno; error != 0) {
      return error;
    }
    below.insert(0, "/" + name);
    at.reset(::openat(parent.get(), ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
    const ssize_t above = at ? ::readlink(descriptor_path(at.get()).c_str(), buffer, sizeof buffer) : -1;
    if (above >= 0) {
      target.assign(buffer, static_cast<std::size_t>(above));
      target += below;
      return 0;
    }
    if (errno != ENAMETOOLONG) {
      return errno;
    }
  }
}

std::string join_path(std::string_view directory, std::string_view rest) {
  std::string path(directory);
  if (!path.empty() && path.back() != '/' && !rest.empty()) {
    path += '/';
  }
  return path.append(rest);
}

int read_directory(int directory, std::vector<DirectoryEntry>& entries) {
  alignas(dirent64) char buffer[1 << 15];
  for (;;) {
    const long got = ::syscall(SYS_getdents64, directory, buffer, sizeof buffer);
    if (got <= 0) {
      return got == 0 ? 0 : errno;
    }
    for (long at = 0; at < got;) {
      const auto* entry = reinterpret_cast<const dirent64*>(buffer + at);
      at += entry->d_reclen;
      const std::string_view name = entry->d_name;
      if (name == "." || name == "..") {
        continue;
      }
      unsigned char type = entry->d_type;
      if (type == DT_UNKNOWN) {
        struct stat status {};
        if (::fstatat(directory, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
          continue;
        }
        type = static_cast<unsigned char>(IFTODT(status.st_mode));
      }
      entries.push_back({std::string(name), type});
    }
  }
}

int has_entries(int directory, bool& some) {
  alignas(dirent64) char buffer[1024];
  some = false;
  for (;;) {
    const long got = ::syscall(SYS_getdents64, directory, buffer, sizeof buffer);
    if (got <= 0) {
      return got == 0 ? 0 : errno;
    }
    for (long at = 0; at < got;) {
      const auto* entry = reinterpret_cast<const dirent64*>(buffer + at);
      at += entry->d_reclen;
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") {
        some = true;
        return 0;
      }
    }
  }
}

int copy_contents(int from, int to) {
  struct stat status {};
  if (::fstat(from, &status) != 0) {
    return errno;
  }
  if (status.st_size == 0 || ::ioctl(to, FICLONE, from) == 0) {
    return 0;
  }
  off_t at = 0;
  while (at < status.st_size) {
    off_t data = ::lseek(from, at, SEEK_DATA);
    off_t hole = status.st_size;
    if (data < 0 && errno == ENXIO) {
      break;
    }
    if (data < 0) {
      data = at;  // a file system that does not tell
    } else {
      hole = ::lseek(from, data, SEEK_HOLE);
      hole = hole < 0 ? status.st_size : hole;
    }
    if (const int error = copy_range(from, to, data, hole); error != 0) {
      return error;
    }
    at = hole;
  }
  return ::ftruncate(to, status.st_size) == 0 ? 0 : errno;
}

int copy_attributes(int from, int to, const struct stat& status) {
  const bool link = S_ISLNK(status.st_mode);
  if (::fchownat(to, "", status.st_uid, status.st_gid, AT_EMPTY_PATH) != 0 &&
      ::fchownat(to, "", static_cast<uid_t>(-1), status.st_gid, AT_EMPTY_PATH) != 0 && errno != EPERM) {
    return errno;
  }
  const std::string source = descriptor_path(from);
  const std::string target = descriptor_path(to);
  if (!link) {
    std::string names;
    if (const int error = list_attributes(source, names); error != 0) {
      return error;
    }
    for (std::size_t at = 0; at < names.size(); at += std::strlen(names.c_str() + at) + 1) {
      const char* name = names.c_str() + at;
      if (std::string_view(name).starts_with(kOwnAttributes)) {
        continue;
      }
      if (const int error = copy_attribute(source, target, name); error != 0) {
        return error;
      }
    }
    if (::chmod(target.c_str(), status.st_mode & 07777) != 0) {
      return errno;
    }
  }
  const timespec times[2] = {status.st_atim, status.st_mtim};
  return ::utimensat(to, "", times, AT_EMPTY_PATH) == 0 ? 0 : errno;
}

OwnDirectory::~OwnDirectory() {
  if (changed_) {
    (void)::fchmod(fd_.get(), status_.st_mode & 07777);
  }
}

int OwnDirectory::open(int base, std::string_view path) {
  UniqueFd found;
  if (const int error = open_beneath(base, path, O_PATH | O_DIRECTORY, 0, found); error != 0) {
    return error;
  }
  return open_found(found);
}

int OwnDirectory::open(const std::string& path) {
  const UniqueFd found(::open(path.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  return found ? open_found(found) : errno;
}

int OwnDirectory::open_found(const UniqueFd& found) {
  if (::fstat(found.get(), &status_) != 0) {
    return errno;
  }
  const std::string own = descriptor_path(found.get());
  const bool closed = (status_.st_mode & S_IRWXU) != S_IRWXU && ::geteuid() != 0;
  if (closed && ::chmod(own.c_str(), (status_.st_mode & 07777) | S_IRWXU) != 0) {
    return errno;
  }
  fd_.reset(::open(own.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const int error = fd_ ? 0 : errno;
  changed_ = closed && fd_;
  if (closed && !fd_) {
    (void)::chmod(own.c_str(), status_.st_mode & 07777);
  }
  return error;
}

}  // namespace beam::rootfs
