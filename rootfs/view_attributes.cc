// Changes of what a file is, rather than of its name: permissions, owners, times, extended attributes, length.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "rootfs/host_file.h"
#include "rootfs/view.h"

namespace beam::rootfs {

int View::may_change(const struct stat& status, int fd, Right right) {
  const uid_t own = acting_uid();
  if (own == 0 || right == Right::kAny) {
    return 0;
  }
  if (right == Right::kOwner) {
    return status.st_uid == own ? 0 : EPERM;
  }
  if (right == Right::kOwnerOrWrite && status.st_uid == own) {
    return 0;
  }
  return ::faccessat(fd, "", W_OK, AT_EMPTY_PATH | AT_EACCESS) == 0 ? 0 : errno;
}

void View::note_mode(const Spot& spot, int fd) {
  struct stat status {};
  if (spot.space == Spot::Space::kLayer && spot.rest.empty() && ::fstat(fd, &status) == 0) {
    spot.node->closed = (status.st_mode & S_IXUSR) == 0;
  }
}

// Under the exclusive lock: makes `spot` one in the layer, where it is the workstation's, and looks at it.
int View::bring_up(Spot& spot, const struct stat& status, UniqueFd& fd) {
  if (S_ISDIR(status.st_mode)) {
    Directory directory;
    if (const int error = make_changeable(spot, directory); error != 0) {
      return error;
    }
  } else if (const int error = copy_up(spot, true); error != 0) {
    return error;
  }
  spot = locate(spot.view);
  struct stat ignored {};
  return look(spot, fd, ignored);
}

int View::change(const Where& where, bool follow, Right right, const Change& change, Found& found) {
  const unsigned flags = follow ? unsigned{kFollow} : 0U;
  {
    const std::shared_lock lock(mutex_);
    if (const int error = find_locked(where, flags, found); error != 0) {
      return error;
    }
    if (found.kind == Found::Kind::kProc) {
      return 0;
    }
    if (found.kind == Found::Kind::kObject) {
      const bool workstations =
          S_ISREG(found.status.st_mode) && found.spot.path.starts_with('/') && !found.spot.path.starts_with("/memfd:");
      return !workstations || found.in_layer || found.writable_object ? change(found.fd.get()) : EPERM;
    }
    if (found.spot.space == Spot::Space::kHost && found.spot.node->mount->read_only) {
      return EROFS;
    }
    if (const int error = may_change(found.status, found.fd.get(), right); error != 0) {
      return error;
    }
    // What the tree knows of a directory changes under the exclusive lock only.
    if (found.spot.space != Spot::Space::kLower && !(S_ISDIR(found.status.st_mode) && found.spot.rest.empty())) {
      return change(found.fd.get());
    }
  }
  const std::unique_lock lock(mutex_);
  found = Found();
  if (const int error = find_locked(where, flags, found); error != 0) {
    return error;
  }
  if (found.kind != Found::Kind::kFile) {
    return EAGAIN;  // another thread has changed what the path means meanwhile
  }
  if (found.spot.space == Spot::Space::kLower) {
    if (const int error = bring_up(found.spot, found.status, found.fd); error != 0) {
      return error;
    }
  }
  const int error = change(found.fd.get());
  note_mode(found.spot, found.fd.get());
  return error;
}

int View::change_of(const std::string& host, int fd, Right right, const Change& change) {
  const std::unique_lock lock(mutex_);
  const auto view = view_path_locked(host);
  const int flags = ::fcntl(fd, F_GETFL);
  const bool writable = (flags & O_PATH) == 0 && (flags & O_ACCMODE) != O_RDONLY;
  struct stat status {};
  if (::fstat(fd, &status) != 0) {
    return errno;
  }
  const bool has_path = S_ISREG(status.st_mode) || S_ISDIR(status.st_mode) || S_ISFIFO(status.st_mode) ||
                        S_ISSOCK(status.st_mode) || S_ISCHR(status.st_mode);
  if (is_in_layer(host) || !host.starts_with('/') || host.starts_with("/memfd:") || !has_path || writable) {
    if (is_in_layer(host) && !owners_.empty()) {
      Spot spot;
      spot.space = Spot::Space::kLayer;
      show_owner(spot, status);
      if (const int error = may_change(status, fd, right); error != 0) {
        return error;
      }
    }
    const int error = change(fd);
    if (view && S_ISDIR(status.st_mode)) {
      note_mode(locate(*view), fd);
    }
    return error;
  }
  if (!view) {
    return EPERM;
  }
  Spot spot = locate(*view);
  if (spot.space == Spot::Space::kHost) {
    return spot.node->mount->read_only ? EROFS : change(fd);
  }
  if (spot.space == Spot::Space::kProc || spot.space == Spot::Space::kAbsent) {
    return EPERM;
  }
  UniqueFd there;
  struct stat seen {};
  if (const int error = look(spot, there, seen); error != 0) {
    return error == ENOENT ? EPERM : error;
  }
  if (const int error = may_change(seen, there.get(), right); error != 0) {
    return error;
  }
  if (spot.space == Spot::Space::kLower) {
    if (seen.st_dev != status.st_dev || seen.st_ino != status.st_ino) {
      return EPERM;
    }
    if (const int error = bring_up(spot, seen, there); error != 0) {
      return error;
    }
  } else if ((seen.st_mode & S_IFMT) != (status.st_mode & S_IFMT)) {
    return EPERM;
  }
  const int error = change(there.get());
  note_mode(spot, there.get());
  return error;
}

int View::prepare_watch(const Where& where, bool follow, std::string& host, Found& found) {
  const std::unique_lock lock(mutex_);
  if (const int error = find_locked(where, follow ? unsigned{kFollow} : 0U, found); error != 0) {
    return error;
  }
  if (found.kind != Found::Kind::kFile) {
    return 0;
  }
  const bool kept = S_ISREG(found.status.st_mode) || S_ISDIR(found.status.st_mode);
  if (found.spot.space == Spot::Space::kLower && kept &&
      ::faccessat(found.fd.get(), "", W_OK, AT_EMPTY_PATH | AT_EACCESS) == 0) {
    if (const int error = bring_up(found.spot, found.status, found.fd); error != 0) {
      return error;
    }
  }
  host = host_path(found.spot);
  return 0;
}

}  // namespace beam::rootfs
