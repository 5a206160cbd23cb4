// Changes of names: making, linking, removing and renaming. Of attributes: view_attributes.cc.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/log.h"
#include "rootfs/host_file.h"
#include "rootfs/layer_format.h"
#include "rootfs/proc_entry.h"
#include "rootfs/view.h"

namespace beam::rootfs {
namespace {

bool is_special(const std::string& name) {
  return name == "." || name == ".." || name == "/";
}

std::string_view directory_of(std::string_view path) {
  const std::size_t cut = path.rfind('/');
  return cut == std::string_view::npos ? std::string_view() : path.substr(0, cut);
}

std::string last_of(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

// What another user's file may be linked for, where the workstation protects it (proc(5), protected_hardlinks).
int may_link(const struct stat& status, int fd) {
  static const bool is_protected = [] {
    const UniqueFd sysctl(::open("/proc/sys/fs/protected_hardlinks", O_RDONLY | O_CLOEXEC));
    char value = '0';
    return sysctl && ::read(sysctl.get(), &value, 1) == 1 && value == '1';
  }();
  constexpr mode_t kSetgid = S_ISGID | S_IXGRP;
  if (!is_protected || acting_uid() == 0 || acting_uid() == status.st_uid) {
    return 0;
  }
  const bool is_safe = (status.st_mode & S_ISUID) == 0 && (status.st_mode & kSetgid) != kSetgid &&
                       ::faccessat(fd, "", R_OK | W_OK, AT_EMPTY_PATH | AT_EACCESS) == 0;
  return is_safe ? 0 : EPERM;
}

}  // namespace

// In the kernel's order (fs/namei.c, filename_create and may_create).
int View::check_new(const Parent& parent) const {
  if (is_special(parent.name)) {
    return EEXIST;
  }
  UniqueFd fd;
  struct stat status {};
  const int error = look(locate(join_path(parent.spot.view, parent.name)), fd, status);
  if (error != ENOENT) {
    return error == 0 ? EEXIST : error;
  }
  if (parent.spot.space == Spot::Space::kHost && parent.spot.node->mount->read_only) {
    return EROFS;
  }
  if (const int up = look(parent.spot, fd, status); up != 0) {
    return up;
  }
  return ::faccessat(fd.get(), "", W_OK | X_OK, AT_EMPTY_PATH | AT_EACCESS) == 0 ? 0 : errno;
}

int View::with_new_entry(const Where& where, const std::function<int(int directory, const char* name)>& make) {
  const std::unique_lock lock(mutex_);
  Parent parent;
  if (const int error = find_parent(where, 0, parent); error != 0) {
    return parent.in_proc && error == EPERM ? EEXIST : error;
  }
  if (const int error = check_new(parent); error != 0) {
    return error;
  }
  if (parent.slash) {
    return ENOENT;
  }
  Directory directory;
  if (const int error = make_changeable(parent.spot, directory); error != 0) {
    return error;
  }
  return make(directory.fd.get(), parent.name.c_str());
}

int View::make_node(const Where& where, mode_t mode, dev_t device) {
  return with_new_entry(where, [&](int directory, const char* name) {
    return ::mknodat(directory, name, mode, device) == 0 ? 0 : errno;
  });
}

int View::make_link(const std::string& target, const Where& where) {
  return with_new_entry(where, [&](int directory, const char* name) {
    return ::symlinkat(target.c_str(), directory, name) == 0 ? 0 : errno;
  });
}

int View::make_directory(const Where& where, mode_t mode) {
  Where bare = where;
  while (bare.path.size() > 1 && bare.path.back() == '/') {
    bare.path.pop_back();
  }
  return with_new_entry(
      bare, [&](int directory, const char* name) { return ::mkdirat(directory, name, mode) == 0 ? 0 : errno; });
}

int View::link(const Where& from, bool follow, const Where& to) {
  const std::unique_lock lock(mutex_);
  Found found;
  if (const int error = find_locked(from, follow ? unsigned{kFollow} : 0U, found); error != 0) {
    return error;
  }
  Parent parent;
  if (const int error = find_parent(to, 0, parent); error != 0) {
    return error;
  }
  if (const int error = check_new(parent); error != 0 && error != EACCES) {
    return error;
  }
  if (parent.slash) {
    return ENOENT;
  }
  if (found.kind == Found::Kind::kProc) {
    return EXDEV;
  }
  const bool object = found.kind == Found::Kind::kObject;
  if (!object && found.spot.node->mount != parent.spot.node->mount) {
    return EXDEV;
  }
  if (object) {
    // A file without a name goes where it was opened, and nowhere else.
    const bool bound = parent.spot.space == Spot::Space::kHost &&
                       found.spot.path.starts_with(join_path("/" + parent.spot.node->mount->source, "") + "/");
    if (!bound && !(found.in_layer && parent.spot.space != Spot::Space::kHost)) {
      return EXDEV;
    }
  }
  if (const int error = check_new(parent); error != 0) {
    return error;
  }
  if (S_ISDIR(found.status.st_mode)) {
    return EPERM;
  }
  if (!object && found.spot.space == Spot::Space::kLower && S_ISREG(found.status.st_mode)) {
    const int error = may_link(found.status, found.fd.get());
    return error != 0 ? error : link_stub(found.spot, parent);
  }
  if (!object && found.spot.space == Spot::Space::kLower) {
    if (const int error = copy_up(found.spot, true); error != 0) {
      return error;
    }
    found.spot = locate(found.spot.view);
  }
  Directory directory;
  if (const int error = make_changeable(locate(parent.spot.view), directory); error != 0) {
    return error;
  }
  if (object) {
    return ::linkat(AT_FDCWD, descriptor_path(found.fd.get()).c_str(), directory.fd.get(), parent.name.c_str(),
                    AT_SYMLINK_FOLLOW) == 0
               ? 0
               : errno;
  }
  UniqueFd above;
  if (const int error = open_beneath(anchor(found.spot), directory_of(found.spot.path), O_PATH | O_DIRECTORY, 0, above);
      error != 0) {
    return error;
  }
  return ::linkat(above.get(), last_of(found.spot.path).c_str(), directory.fd.get(), parent.name.c_str(), 0) == 0
             ? 0
             : errno;
}

// In the kernel's order (fs/namei.c, may_delete); what only the layer can say comes from there.
int View::may_remove(const Spot& directory, const struct stat& entry) const {
  UniqueFd fd;
  struct stat status {};
  if (const int error = look(directory, fd, status); error != 0) {
    return error;
  }
  if (::faccessat(fd.get(), "", W_OK | X_OK, AT_EMPTY_PATH | AT_EACCESS) != 0) {
    return errno;
  }
  if (directory.space == Spot::Space::kHost && directory.node->mount->read_only) {
    return EROFS;
  }
  const uid_t own = acting_uid();
  const bool sticky = (status.st_mode & S_ISVTX) != 0 && own != 0 && entry.st_uid != own && status.st_uid != own;
  return sticky ? EPERM : 0;
}

int View::is_empty(const Spot& spot, bool& empty) const {
  UniqueFd fd;
  if (const int error = open_spot(spot, O_RDONLY | O_DIRECTORY, 0, fd); error != 0) {
    return error == EACCES ? ENOTEMPTY : error;
  }
  bool some = false;
  const int error = has_entries(fd.get(), some);
  empty = !some;
  return error;
}

int View::remove(const Where& where, bool directory) {
  const std::unique_lock lock(mutex_);
  Parent parent;
  if (const int error = find_parent(where, 0, parent); error != 0) {
    return parent.in_proc && error == EPERM && acting_uid() != 0 ? EACCES : error;
  }
  if (is_special(parent.name)) {
    return !directory ? EISDIR : parent.name == "." ? EINVAL : parent.name == ".." ? ENOTEMPTY : EBUSY;
  }
  const Spot spot = locate(join_path(parent.spot.view, parent.name));
  if (spot.space == Spot::Space::kProc) {
    return EBUSY;
  }
  UniqueFd fd;
  struct stat status {};
  if (const int error = look(spot, fd, status); error != 0) {
    return error;
  }
  const bool is_directory = S_ISDIR(status.st_mode);
  if (!directory && parent.slash) {
    return is_directory ? EISDIR : ENOTDIR;
  }
  if (const int error = may_remove(parent.spot, status); error != 0) {
    return error;
  }
  if (directory != is_directory) {
    return directory ? ENOTDIR : EISDIR;
  }
  if (spot.rest.empty() && spot.node->holds_mount_point()) {
    return EBUSY;
  }
  if (directory && spot.space == Spot::Space::kLower) {
    bool empty = false;
    if (const int error = is_empty(spot, empty); error != 0 || !empty) {
      return error != 0 ? error : ENOTEMPTY;
    }
  }
  Directory above;
  if (const int error = make_changeable(parent.spot, above); error != 0) {
    return error;
  }
  std::optional<OwnIds> own_ids;
  if (above.mount->kind != MountKind::kHost) {
    own_ids.emplace();  // a placeholder has not the owner of the file that it stands for, as a sticky directory asks
  }
  if (::unlinkat(above.fd.get(), parent.name.c_str(), directory ? AT_REMOVEDIR : 0) != 0) {
    return errno;
  }
  forget_entry(above, parent.name, status);
  return 0;
}

void View::forget_entry(const Directory& directory, const std::string& name, const struct stat& status) {
  if (status.st_nlink <= 1 || S_ISDIR(status.st_mode)) {
    owners_.erase(status.st_ino);
  }
  if (directory.node == nullptr) {
    return;
  }
  if (!linked_.empty() && directory.node->stubs.contains(name)) {
    const auto links = linked_.find(directory.node->stub_origin(name));
    if (links != linked_.end() && --links->second == 1) {
      linked_.erase(links);
    }
  }
  directory.node->stubs.erase(name);
  const auto child = directory.node->children.find(name);
  if (child == directory.node->children.end()) {
    return;
  }
  if (child->second->has_origin) {
    moved_[child->second->origin] = nullptr;
  }
  directory.node->children.erase(child);
}

void View::note_moved(Node& node) {
  if (node.has_origin) {
    moved_[node.origin] = &node;
  }
}

void View::set_layer_path(Node& node, const std::string& path) {
  node.layer = path;
  for (const auto& [name, child] : node.children) {
    if (!child->is_mount_point) {
      set_layer_path(*child, join_path(path, name));
    }
  }
}

// The node of a directory of the layer's own that is about to hold something of the workstation's.
Node* View::node_for(const Directory& directory) {
  if (directory.node != nullptr) {
    return directory.node;
  }
  const Spot spot = locate(directory.spot.view);
  Node* node = spot.node;
  std::string_view rest = spot.rest;
  while (true) {
    const std::string name(next_component(rest));
    if (name.empty()) {
      return node;
    }
    auto made = std::make_unique<Node>();
    made->parent = node;
    made->name = name;
    made->mount = node->mount;
    made->state = Node::State::kComplete;
    made->on_disk = true;
    made->layer = join_path(node->layer, name);
    node = node->children.emplace(name, std::move(made)).first->second.get();
  }
}

View::Taken View::take(const Directory& directory, const std::string& name) {
  Taken taken;
  if (directory.node == nullptr) {
    return taken;
  }
  Node& node = *directory.node;
  if (const auto stub = node.stubs.find(name); stub != node.stubs.end()) {
    taken.stub = node.stub_origin(name);
    node.stubs.erase(stub);
  }
  if (const auto child = node.children.find(name); child != node.children.end()) {
    taken.node = std::move(child->second);
    node.children.erase(child);
  }
  return taken;
}

void View::give(const Directory& directory, const std::string& name, Taken taken) {
  if (taken.stub.empty() && taken.node == nullptr) {
    return;
  }
  Node& node = *node_for(directory);
  if (!taken.stub.empty()) {
    const bool default_place = node.has_origin && taken.stub == join_path(node.origin, name);
    node.stubs[name] = default_place ? std::string() : taken.stub;
    if (!default_place) {
      if (const int error = keep_origin(node, name, taken.stub); error != 0) {
        BEAM_LOG_WARN(kRootfs, "{}/{}: note that it is {} (errno {})", node.layer, name, taken.stub, error);
      }
    }
  }
  if (taken.node != nullptr) {
    Node& child = *taken.node;
    child.parent = &node;
    child.name = name;
    set_layer_path(child, join_path(node.layer, name));
    node.children[name] = std::move(taken.node);
    note_moved(child);
  }
}

int View::rename(const Where& from, const Where& to, unsigned flags) {
  const bool exchange = (flags & RENAME_EXCHANGE) != 0;
  const bool keep = (flags & RENAME_NOREPLACE) != 0;
  if ((flags & ~unsigned{RENAME_EXCHANGE | RENAME_NOREPLACE}) != 0 || (exchange && keep)) {
    return (flags & RENAME_WHITEOUT) != 0 ? EPERM : EINVAL;
  }
  const std::unique_lock lock(mutex_);
  Parent old_parent;
  Parent new_parent;
  int error = find_parent(from, 0, old_parent);
  if (error == EPERM && old_parent.in_proc) {
    const int other = find_parent(to, 0, new_parent);
    return other == 0 ? EXDEV : other != EPERM ? other : acting_uid() != 0 ? EACCES : EPERM;
  }
  error = error != 0 ? error : find_parent(to, 0, new_parent);
  if (error != 0) {
    return error;
  }
  if (old_parent.spot.node->mount != new_parent.spot.node->mount) {
    return EXDEV;
  }
  if (is_special(old_parent.name) || is_special(new_parent.name)) {
    return is_special(new_parent.name) && !is_special(old_parent.name) && keep ? EEXIST : EBUSY;
  }
  const Spot old_spot = locate(join_path(old_parent.spot.view, old_parent.name));
  const Spot new_spot = locate(join_path(new_parent.spot.view, new_parent.name));
  if (old_spot.space == Spot::Space::kProc || new_spot.space == Spot::Space::kProc) {
    return EBUSY;
  }
  UniqueFd old_fd;
  UniqueFd new_fd;
  struct stat old_status {};
  struct stat new_status {};
  if (error = look(old_spot, old_fd, old_status); error != 0) {
    return error;
  }
  error = look(new_spot, new_fd, new_status);
  const bool exists = error == 0;
  if (!exists && error != ENOENT) {
    return error;
  }
  if ((keep && exists) || (exchange && !exists)) {
    return keep ? EEXIST : ENOENT;
  }
  const bool old_is_directory = S_ISDIR(old_status.st_mode);
  if (!old_is_directory && (old_parent.slash || (new_parent.slash && !exchange))) {
    return ENOTDIR;
  }
  if (exchange && new_parent.slash && !S_ISDIR(new_status.st_mode)) {
    return ENOTDIR;
  }
  if (old_is_directory &&
      (new_parent.spot.view == old_spot.view || new_parent.spot.view.starts_with(old_spot.view + "/"))) {
    return EINVAL;
  }
  if (exists && S_ISDIR(new_status.st_mode) &&
      (old_parent.spot.view == new_spot.view || old_parent.spot.view.starts_with(new_spot.view + "/"))) {
    return exchange ? EINVAL : ENOTEMPTY;
  }
  if (old_spot.view == new_spot.view) {
    return 0;
  }
  error = may_remove(old_parent.spot, old_status);
  if (error == 0) {
    struct stat fresh {};
    fresh.st_uid = acting_uid();
    error = may_remove(new_parent.spot, exists ? new_status : fresh);
  }
  const bool other_parent = old_parent.spot.view != new_parent.spot.view;
  if (error == 0 && old_is_directory && other_parent &&
      ::faccessat(old_fd.get(), "", W_OK, AT_EMPTY_PATH | AT_EACCESS) != 0) {
    error = errno;
  }
  if (error != 0) {
    return error;
  }
  if (exists && !exchange && old_is_directory != S_ISDIR(new_status.st_mode)) {
    return old_is_directory ? ENOTDIR : EISDIR;
  }
  // Two names of one file: nothing is done (rename(2)).
  if (exists && !exchange && !old_is_directory && old_status.st_ino == new_status.st_ino &&
      old_status.st_dev == new_status.st_dev) {
    return 0;
  }
  const auto is_busy = [](const Spot& spot) { return spot.rest.empty() && spot.node->holds_mount_point(); };
  if (is_busy(old_spot) || is_busy(new_spot)) {
    return EBUSY;
  }
  if (exists && !exchange && old_is_directory && new_spot.space == Spot::Space::kLower) {
    bool empty = false;
    if (error = is_empty(new_spot, empty); error != 0 || !empty) {
      return error != 0 ? error : ENOTEMPTY;
    }
  }
  Directory source;
  Directory target;
  error = make_changeable(locate(old_parent.spot.view), source);
  error = error != 0 ? error : make_changeable(locate(new_parent.spot.view), target);
  if (error != 0) {
    return error;
  }
  std::optional<OwnIds> own_ids;
  if (source.mount->kind != MountKind::kHost) {
    own_ids.emplace();  // as in remove()
  }
  // Stubs are links to one file, which rename(2) would leave as they are.
  const bool both_stubs = exists && locate(old_spot.view).stub && locate(new_spot.view).stub;
  if (both_stubs && !exchange && ::unlinkat(target.fd.get(), new_parent.name.c_str(), 0) != 0) {
    return errno;
  }
  if (::syscall(SYS_renameat2, source.fd.get(), old_parent.name.c_str(), target.fd.get(), new_parent.name.c_str(),
                flags) != 0) {
    error = errno;
    if (both_stubs && !exchange) {
      (void)place_stub(new_status.st_mode & S_IFMT, target.fd.get(), new_parent.name);
    }
    return error;
  }
  Taken moved = take(source, old_parent.name);
  Taken back;
  if (exchange) {
    back = take(target, new_parent.name);
  } else if (exists) {
    forget_entry(target, new_parent.name, new_status);
  }
  give(target, new_parent.name, std::move(moved));
  give(source, old_parent.name, std::move(back));
  return 0;
}

}  // namespace beam::rootfs
