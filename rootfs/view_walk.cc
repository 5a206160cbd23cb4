// How a path is resolved. Where no symbolic link is on the way, the kernel walks all of it in one step, beneath a
// directory's descriptor and with links forbidden; where one is, the walk goes component by component until it is
// passed.
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "rootfs/host_file.h"
#include "rootfs/layer_format.h"
#include "rootfs/proc_entry.h"
#include "rootfs/view.h"

namespace beam::rootfs {
namespace {

constexpr int kMostLinks = 40;  // MAXSYMLINKS, linux/namei.h

bool has_dot_dot(std::string_view path) {
  while (true) {
    const std::string_view name = next_component(path);
    if (name.empty()) {
      return false;
    }
    if (name == "..") {
      return true;
    }
  }
}

// Whether what the path ends with asks for a directory: a slash, "." or "..".
bool asks_for_directory(std::string_view path) {
  return path.ends_with('/') || path == "." || path == ".." || path.ends_with("/.") || path.ends_with("/..");
}

}  // namespace

class View::Walk {
 public:
  Walk(const View& view, const Where& where, unsigned flags, Found& found)
      : view_(view), where_(where), flags_(flags), found_(found) {}

  int run() {
    if (where_.path.empty()) {
      return ENOENT;
    }
    if (where_.path.size() >= PATH_MAX) {
      return ENAMETOOLONG;
    }
    root_ = where_.root;
    const bool absolute = where_.path.front() == '/';
    if (!absolute && where_.base.empty()) {
      return ENOENT;
    }
    if ((flags_ & kBeneath) != 0 && absolute) {
      return EXDEV;
    }
    if ((flags_ & (kInRoot | kBeneath)) != 0) {
      root_ = where_.base;
    }
    at_ = absolute ? root_ : where_.base;
    const Spot start = view_.locate(at_);
    start_mount_ = start.node->mount;
    pending_ = where_.path;
    directory_ = asks_for_directory(pending_);
    follow_ = (flags_ & kFollow) != 0 || directory_;
    if (start.space == Spot::Space::kProc) {
      return enter_proc(join_path(start.rest, "") + "/" + pending_);
    }
    return walk();
  }

 private:
  int walk() {
    bool try_all = true;
    for (;;) {
      pending_.erase(0, std::min(pending_.find_first_not_of('/'), pending_.size()));
      if (pending_.empty()) {
        return end(at_);
      }
      if (try_all && !has_dot_dot(pending_)) {
        const int error = all_at_once();
        if (error != ELOOP || decided_) {
          return error;
        }
      }
      try_all = false;
      std::string_view left = pending_;
      const std::string name(next_component(left));
      const std::string rest(left);
      const bool last = rest.find_first_not_of('/') == std::string::npos;
      if (name == ".") {
        pending_ = rest;
        continue;
      }
      if (name == "..") {
        if (const int error = up(); error != 0) {
          return error;
        }
        pending_ = rest;
        continue;
      }
      bool expanded = false;
      if (const int error = step(name, rest, last, expanded); error != 0 || done_) {
        return error;
      }
      try_all = expanded;
    }
  }

  // ELOOP: a component on the way is a symbolic link.
  int all_at_once() {
    std::string path = at_;
    std::string_view left = pending_;
    while (true) {
      const std::string_view name = next_component(left);
      if (name.empty()) {
        break;
      }
      if (name != ".") {
        path = join_path(path, name);
      }
    }
    Spot spot = view_.locate(path);
    if (spot.space == Spot::Space::kProc) {
      return decide(enter_proc(spot.rest + (pending_.ends_with('/') ? "/" : "")));
    }
    UniqueFd fd;
    struct stat status {};
    if (const int error = view_.look(spot, fd, status); error != 0) {
      return error;
    }
    if (S_ISLNK(status.st_mode) && follow_) {
      const std::size_t cut = path.rfind('/');
      at_ = cut == 0 ? "/" : path.substr(0, cut);
      const int error = expand(fd, "");
      return decide(error != 0 ? error : walk());
    }
    return accept(std::move(spot), std::move(fd), status);
  }

  // From here on ELOOP is the answer, and no sign that a link is on the way.
  int decide(int error) {
    decided_ = true;
    return error;
  }

  int step(const std::string& name, const std::string& rest, bool last, bool& expanded) {
    if (name.size() > NAME_MAX) {
      return ENAMETOOLONG;
    }
    const std::string path = join_path(at_, name);
    Spot spot = view_.locate(path);
    if (spot.space == Spot::Space::kProc) {
      done_ = true;
      return enter_proc(join_path(spot.rest, "") + rest);
    }
    UniqueFd fd;
    struct stat status {};
    if (const int error = view_.look(spot, fd, status); error != 0) {
      return error;
    }
    if (S_ISLNK(status.st_mode) && (!last || follow_)) {
      expanded = true;
      return expand(fd, rest);
    }
    if (!last && !S_ISDIR(status.st_mode)) {
      return ENOTDIR;
    }
    if (last) {
      done_ = true;
      return accept(std::move(spot), std::move(fd), status);
    }
    at_ = path;
    pending_ = rest;
    return 0;
  }

  // `at_` is the directory of the link.
  int expand(const UniqueFd& link, const std::string& rest) {
    if ((flags_ & kNoSymlinks) != 0 || ++links_ > kMostLinks) {
      return ELOOP;
    }
    std::string target;
    if (const int error = read_link_of(link.get(), target); error != 0) {
      return error;
    }
    if (target.empty()) {
      return ENOENT;
    }
    if (target.front() == '/') {
      if ((flags_ & kBeneath) != 0) {
        return EXDEV;
      }
      at_ = root_;
    }
    if (rest.find_first_not_of('/') == std::string::npos) {
      directory_ = directory_ || asks_for_directory(target);
    }
    pending_ = rest.empty() ? target : target + (rest.front() == '/' ? "" : "/") + rest;
    return 0;
  }

  int up() {
    if (at_ == root_ || at_ == "/") {
      return (flags_ & kBeneath) != 0 ? EXDEV : 0;
    }
    // The directory has to be there, and searchable.
    UniqueFd fd;
    struct stat status {};
    const Spot spot = view_.locate(at_);
    if (const int error = view_.look(spot, fd, status); error != 0) {
      return error;
    }
    if (!S_ISDIR(status.st_mode)) {
      return ENOTDIR;
    }
    if (::faccessat(fd.get(), "", X_OK, AT_EMPTY_PATH | AT_EACCESS) != 0) {
      return errno;
    }
    const std::size_t cut = at_.rfind('/');
    at_ = cut == 0 ? "/" : at_.substr(0, cut);
    return 0;
  }

  int end(const std::string& path) {
    Spot spot = view_.locate(path);
    if (spot.space == Spot::Space::kProc) {
      return enter_proc(spot.rest);
    }
    UniqueFd fd;
    struct stat status {};
    if (const int error = view_.look(spot, fd, status); error != 0) {
      return error;
    }
    directory_ = true;
    return accept(std::move(spot), std::move(fd), status);
  }

  int accept(Spot spot, UniqueFd fd, const struct stat& status) {
    if (directory_ && !S_ISDIR(status.st_mode) && !S_ISLNK(status.st_mode)) {
      return ENOTDIR;
    }
    if ((flags_ & kNoXdev) != 0 && spot.node->mount != start_mount_) {
      return EXDEV;
    }
    found_.kind = Found::Kind::kFile;
    found_.mount = spot.node->mount;
    found_.spot = std::move(spot);
    found_.fd = std::move(fd);
    found_.status = status;
    return 0;
  }

  int enter_proc(const std::string& rest) {
    if (where_.proc == nullptr) {
      return ENOENT;
    }
    if ((flags_ & kNoXdev) != 0 && start_mount_->kind != MountKind::kProc) {
      return EXDEV;
    }
    ProcNode node = where_.proc->walk(rest, follow_);
    switch (node.kind) {
      case ProcNode::Kind::kError:
        return node.error;
      case ProcNode::Kind::kBeyond:
        return beyond(node);
      default:
        break;
    }
    node.native = false;
    found_.kind = Found::Kind::kProc;
    found_.proc = std::move(node);
    return 0;
  }

  int beyond(ProcNode& node) {
    if (++links_ > kMostLinks) {
      return ELOOP;
    }
    if (node.link.empty()) {
      if ((flags_ & kBeneath) != 0) {
        return EXDEV;
      }
      at_ = "/";
      pending_ = node.rest;
      return walk_on();
    }
    if ((flags_ & (kNoMagicLinks | kNoSymlinks)) != 0) {
      return ELOOP;
    }
    if ((flags_ & (kBeneath | kInRoot)) != 0) {
      return EXDEV;
    }
    struct stat link_status {};
    UniqueFd fd(::open(node.link.c_str(), O_PATH | O_CLOEXEC));
    struct stat status {};
    if (!fd || ::fstat(fd.get(), &status) != 0 || ::lstat(node.link.c_str(), &link_status) != 0) {
      return errno;
    }
    char text[PATH_MAX];
    const ssize_t size = ::readlink(node.link.c_str(), text, sizeof text);
    if (size < 0) {
      return errno;
    }
    const std::string_view target(text, static_cast<std::size_t>(size));
    const bool last = node.rest.find_first_not_of('/') == std::string::npos;
    const bool is_root = node.link.ends_with("/root");
    const auto view = is_root ? std::optional(where_.root) : view_.view_path_locked(target);
    if (!last) {
      if (!S_ISDIR(status.st_mode)) {
        return ENOTDIR;
      }
      if (!view) {
        return ENOENT;
      }
      at_ = *view;
      pending_ = node.rest;
      return walk_on();
    }
    if (!node.rest.empty()) {
      directory_ = true;
    }
    if (directory_ && !S_ISDIR(status.st_mode)) {
      return ENOTDIR;
    }
    if (view && (S_ISDIR(status.st_mode) || S_ISREG(status.st_mode))) {
      Spot spot = view_.locate(*view);
      UniqueFd same;
      struct stat seen {};
      const bool there = view_.look(spot, same, seen) == 0;
      // A directory that the layer has by now stands for the workstation's, and so does a copy of the very file;
      // another file of its name does not.
      const auto is_copy = [&] {
        const auto base = spot.space == Spot::Space::kLayer ? read_base_of(same.get()) : std::nullopt;
        return base && "/" + base->origin == target;
      };
      if (there &&
          ((seen.st_dev == status.st_dev && seen.st_ino == status.st_ino) || S_ISDIR(status.st_mode) || is_copy())) {
        found_.link = node.link;
        found_.writable_object = (link_status.st_mode & S_IWUSR) != 0;
        return accept(std::move(spot), std::move(same), seen);
      }
    }
    found_.kind = Found::Kind::kObject;
    found_.proc = std::move(node);
    found_.proc.native = false;
    found_.link = found_.proc.link;
    found_.fd = std::move(fd);
    found_.status = status;
    found_.writable_object = (link_status.st_mode & S_IWUSR) != 0;
    found_.spot.path = target;
    found_.in_layer = view_.is_in_layer(target);
    return 0;
  }

  int walk_on() {
    directory_ = directory_ || asks_for_directory(pending_);
    return walk();
  }

  const View& view_;
  const Where& where_;
  const unsigned flags_;
  Found& found_;
  std::string root_;
  std::string at_;       // a directory, canonical
  std::string pending_;  // below it
  const Mount* start_mount_ = nullptr;
  bool follow_ = false;
  bool directory_ = false;  // what is asked for has to be one
  bool done_ = false;
  bool decided_ = false;
  int links_ = 0;
};

int View::find_locked(const Where& where, unsigned flags, Found& found) const {
  return Walk(*this, where, flags, found).run();
}

int View::find(const Where& where, unsigned flags, Found& found) const {
  const std::shared_lock lock(mutex_);
  return find_locked(where, flags, found);
}

int View::find_parent(const Where& where, unsigned flags, Parent& parent) const {
  std::string path = where.path;
  if (path.empty()) {
    return ENOENT;
  }
  if (path.size() >= PATH_MAX) {
    return ENAMETOOLONG;
  }
  while (path.size() > 1 && path.back() == '/') {
    path.pop_back();
    parent.slash = true;
  }
  const std::size_t cut = path.rfind('/');
  parent.name = cut == std::string::npos ? path : path.substr(cut + 1);
  parent.root = where.root;
  parent.proc = where.proc;
  if (parent.name.size() > NAME_MAX) {
    return ENAMETOOLONG;
  }
  if (parent.name.empty()) {
    parent.name = "/";  // the root itself
  }
  Where above = where;
  above.path = cut == std::string::npos ? "." : path.substr(0, cut + 1);
  Found found;
  if (const int error = find_locked(above, flags | kFollow, found); error != 0) {
    return error;
  }
  if (found.kind == Found::Kind::kProc) {
    // Nothing is made or removed there; what is not there, is not there.
    const ProcNode node = where.proc->walk(
        found.proc.shown.substr(std::min<std::size_t>(found.proc.shown.size(), 5)) + "/" + parent.name, false);
    parent.in_proc = true;
    struct stat there {};
    if (node.kind == ProcNode::Kind::kPlain && ::lstat(node.host.c_str(), &there) != 0) {
      return errno;
    }
    return node.kind == ProcNode::Kind::kError ? node.error : EPERM;
  }
  if (!S_ISDIR(found.status.st_mode)) {
    return ENOTDIR;
  }
  if (found.kind != Found::Kind::kFile) {
    return ENOENT;
  }
  if (::faccessat(found.fd.get(), "", X_OK, AT_EMPTY_PATH | AT_EACCESS) != 0) {
    return errno;
  }
  parent.spot = std::move(found.spot);
  return 0;
}

}  // namespace beam::rootfs
