#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "rootfs/host_file.h"
#include "rootfs/view.h"

namespace beam::rootfs {
namespace {

constexpr int kLargeFile = 0100000;  // what 64-bit programs set for nothing
constexpr int kTemporary = O_TMPFILE & ~O_DIRECTORY;
// open(2) ignores what openat2(2) refuses.
constexpr int kKnown = O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC | O_DSYNC |
                       O_DIRECT | kLargeFile | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC | O_PATH | kTemporary;
constexpr int kMostLinks = 40;

bool writes(int flags) {
  return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0;
}

// Devices that are the same for everybody, and that no open of changes anything.
bool is_harmless(const struct stat& status) {
  constexpr unsigned kMemory = 1;  // Documentation/admin-guide/devices.txt
  if (!S_ISCHR(status.st_mode) || major(status.st_rdev) != kMemory) {
    return false;
  }
  const unsigned number = minor(status.st_rdev);
  return number == 3 || number == 5 || number == 7 || number == 8 || number == 9;
}

int check_flags(int flags) {
  if ((flags & O_PATH) != 0) {
    return 0;
  }
  if ((flags & kTemporary) != 0) {
    const bool valid = (flags & O_DIRECTORY) != 0 && (flags & O_CREAT) == 0 && (flags & O_ACCMODE) != O_RDONLY;
    return valid ? 0 : EINVAL;
  }
  return (flags & (O_DIRECTORY | O_CREAT)) == (O_DIRECTORY | O_CREAT) ? EINVAL : 0;
}

int access_mode(int flags) {
  const int mode = (flags & O_ACCMODE) == O_RDONLY ? R_OK : (flags & O_ACCMODE) == O_WRONLY ? W_OK : R_OK | W_OK;
  return (flags & O_TRUNC) != 0 ? mode | W_OK : mode;
}

}  // namespace

int View::open(const Where& where, int flags, mode_t mode, unsigned find_flags, Opened& opened) {
  flags &= kKnown;
  if (const int error = check_flags(flags); error != 0) {
    return error;
  }
  if ((flags & O_PATH) != 0) {
    flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  }
  if ((flags & O_CREAT) != 0 && where.path.ends_with('/')) {
    const std::shared_lock lock(mutex_);
    Parent parent;
    const int error = find_parent(where, find_flags, parent);
    return error != 0 ? (parent.in_proc ? EACCES : error) : EISDIR;
  }
  const bool exclusive = (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL);
  if ((flags & O_NOFOLLOW) == 0 && !exclusive) {
    find_flags |= kFollow;
  }
  // A directory that is also bound elsewhere: of an open one, the kernel tells one path only, and that is the bound
  // place's. So the copy-on-write one becomes a directory of the layer before anyone holds it.
  const auto is_shared = [this](const Found& found) {
    return found.kind == Found::Kind::kFile && S_ISDIR(found.status.st_mode) &&
           found.spot.space == Spot::Space::kLower &&
           std::any_of(mounts_.begin(), mounts_.end(), [&](const auto& mount) {
             return mount->kind == MountKind::kHost && "/" + mount->source != mount->at &&
                    (found.spot.path == mount->source || found.spot.path.starts_with(mount->source + "/"));
           });
  };
  bool shared = false;
  {
    const std::shared_lock lock(mutex_);
    const int error = find_locked(where, find_flags, opened.found);
    shared = error == 0 && is_shared(opened.found);
    if (error != 0 && (error != ENOENT || (flags & O_CREAT) == 0)) {
      return error;
    }
    const bool changes = error != 0 || shared || (flags & kTemporary) != 0 ||
                         (opened.found.kind == Found::Kind::kFile && opened.found.spot.space == Spot::Space::kLower &&
                          S_ISREG(opened.found.status.st_mode) && writes(flags) && !opened.found.writable_object &&
                          (flags & O_PATH) == 0);
    if (!changes) {
      return open_found(flags, opened);
    }
  }
  const std::unique_lock lock(mutex_);
  if (shared) {
    Directory directory;
    if (const int error = make_changeable(locate(opened.found.spot.view), directory); error != 0) {
      return error;
    }
  }
  return open_for_change(where, flags, mode, find_flags, opened);
}

int View::open_found(int flags, Opened& opened) const {
  const Found& found = opened.found;
  if (found.kind == Found::Kind::kProc) {
    return 0;
  }
  const mode_t type = found.status.st_mode;
  if ((flags & O_PATH) == 0) {
    if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) {
      return EEXIST;
    }
    if ((flags & O_CREAT) != 0 && S_ISDIR(type)) {
      return EISDIR;
    }
  }
  if ((flags & O_DIRECTORY) != 0 && !S_ISDIR(type)) {
    return ENOTDIR;
  }
  if (found.kind == Found::Kind::kObject) {
    return 0;
  }
  if ((flags & O_PATH) != 0) {
    opened.by_kernel = true;
    opened.host = host_path(found.spot);
    return 0;
  }
  if (S_ISLNK(type)) {
    return ELOOP;
  }
  if (S_ISSOCK(type)) {
    return ENXIO;
  }
  const bool regular = S_ISREG(type);
  if (!regular && !S_ISDIR(type) && !is_harmless(found.status)) {
    opened.by_kernel = true;
    opened.host = host_path(found.spot);
    return 0;
  }
  if (regular && writes(flags) && found.spot.space == Spot::Space::kHost && found.spot.node->mount->read_only) {
    return EROFS;
  }
  // Never waiting here, as for the holder of a lease (fcntl(2), F_SETLEASE): the caller can do that.
  const int error = open_spot(found.spot, (flags & ~(O_CREAT | O_EXCL)) | O_NONBLOCK, 0, opened.fd);
  if (error == EWOULDBLOCK && (flags & O_NONBLOCK) == 0) {
    opened.by_kernel = true;
    opened.host = host_path(found.spot);
    return 0;
  }
  if (error == 0 && (flags & O_NONBLOCK) == 0) {
    (void)::fcntl(opened.fd.get(), F_SETFL, flags & (O_APPEND | O_DIRECT | O_NOATIME));
  }
  return error;
}

int View::open_for_change(const Where& where, int flags, mode_t mode, unsigned find_flags, Opened& opened) {
  opened.found = Found();
  if ((flags & kTemporary) != 0) {
    if (const int error = find_locked(where, find_flags, opened.found); error != 0) {
      return error;
    }
    return open_temporary(flags, mode, opened);
  }
  Where at = where;
  for (int links = 0;; ++links) {
    const int error = find_locked(at, find_flags, opened.found);
    if (error == 0) {
      break;
    }
    if (error != ENOENT || (flags & O_CREAT) == 0) {
      return error;
    }
    Parent parent;
    if (const int up = find_parent(at, find_flags, parent); up != 0) {
      return parent.in_proc ? EACCES : up;
    }
    if (parent.slash || parent.name == "." || parent.name == ".." || parent.name == "/") {
      return EISDIR;
    }
    UniqueFd fd;
    struct stat status {};
    const Spot spot = locate(join_path(parent.spot.view, parent.name));
    if (spot.space == Spot::Space::kAbsent || look(spot, fd, status) != 0) {
      return create_file(parent, flags, mode, opened);
    }
    // A link to what is not there: made where it leads.
    std::string target;
    if (!S_ISLNK(status.st_mode) || (find_flags & kFollow) == 0 || links >= kMostLinks) {
      return S_ISLNK(status.st_mode) ? ELOOP : ENOENT;
    }
    if (const int read = read_link_of(fd.get(), target); read != 0) {
      return read;
    }
    at.base = parent.spot.view;
    at.path = target;
  }
  const Found& found = opened.found;
  if (found.kind == Found::Kind::kFile && found.spot.space == Spot::Space::kLower && S_ISREG(found.status.st_mode) &&
      writes(flags) && !found.writable_object) {
    if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) {
      return EEXIST;
    }
    if ((flags & O_DIRECTORY) != 0) {
      return ENOTDIR;
    }
    if (::faccessat(found.fd.get(), "", access_mode(flags), AT_EMPTY_PATH | AT_EACCESS) != 0) {
      return errno;
    }
    if (const int error = copy_up(found.spot, (flags & O_TRUNC) == 0); error != 0) {
      return error;
    }
    Spot spot = locate(found.spot.view);
    UniqueFd fd;
    struct stat status {};
    if (const int error = look(spot, fd, status); error != 0) {
      return error;
    }
    opened.found.spot = std::move(spot);
    opened.found.fd = std::move(fd);
    opened.found.status = status;
  }
  return open_found(flags, opened);
}

int View::create_file(const Parent& parent, int flags, mode_t mode, Opened& opened) {
  if (const int error = check_new(parent); error != 0) {
    return error;
  }
  Directory directory;
  if (const int error = make_changeable(parent.spot, directory); error != 0) {
    return error;
  }
  opened.found.kind = Found::Kind::kFile;
  opened.found.spot = locate(join_path(parent.spot.view, parent.name));
  return open_beneath(directory.fd.get(), parent.name, flags | O_CREAT | O_EXCL, mode & 07777, opened.fd);
}

int View::open_temporary(int flags, mode_t mode, Opened& opened) {
  const Found& found = opened.found;
  if (found.kind == Found::Kind::kProc) {
    // Nothing is made there, and the kernel says how it refuses.
    const UniqueFd none(::open(found.proc.host.c_str(), flags, 0));
    return none ? EOPNOTSUPP : errno;
  }
  if (found.kind != Found::Kind::kFile) {
    return S_ISDIR(found.status.st_mode) ? ENOENT : ENOTDIR;
  }
  if (!S_ISDIR(found.status.st_mode)) {
    return ENOTDIR;
  }
  if (::faccessat(found.fd.get(), "", W_OK | X_OK, AT_EMPTY_PATH | AT_EACCESS) != 0) {
    return errno;
  }
  Directory directory;
  if (const int error = make_changeable(found.spot, directory); error != 0) {
    return error;
  }
  return open_beneath(directory.fd.get(), "", flags, mode & 07777, opened.fd);
}

}  // namespace beam::rootfs
