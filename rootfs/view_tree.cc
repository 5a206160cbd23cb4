#include "rootfs/view_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "rootfs/host_file.h"
#include "rootfs/layer_format.h"
#include "rootfs/proc_entry.h"
#include "rootfs/view.h"

namespace beam::rootfs {
namespace {

constexpr std::string_view kDeleted = " (deleted)";

std::string without_slash(const std::string& path) {
  const std::size_t at = path.find_first_not_of('/');
  std::string bare = at == std::string::npos ? std::string() : path.substr(at);
  while (!bare.empty() && bare.back() == '/') {
    bare.pop_back();
  }
  return bare;
}

// Whether `path` is `directory` or below it; `rest` gets what follows, without a slash.
bool is_below(std::string_view path, std::string_view directory, std::string_view& rest) {
  if (directory.empty()) {
    rest = path;
    return true;
  }
  if (!path.starts_with(directory) || (path.size() > directory.size() && path[directory.size()] != '/')) {
    return false;
  }
  rest = path.substr(std::min(path.size(), directory.size() + 1));
  return true;
}

// In the order of their making, children before what lies over them.
const char* type_of(MountKind kind) {
  switch (kind) {
    case MountKind::kCow:
      return "overlay";
    case MountKind::kPrivate:
      return "tmpfs";
    case MountKind::kProc:
      return "proc";
    case MountKind::kHost:
    case MountKind::kAbsent:
      break;
  }
  return "none";
}

}  // namespace

std::string Node::view_path() const {
  if (parent == nullptr) {
    return "/";
  }
  return join_path(parent->view_path(), name);
}

std::string Node::stub_origin(const std::string& stub) const {
  const auto found = stubs.find(stub);
  return found != stubs.end() && !found->second.empty() ? found->second : join_path(origin, stub);
}

bool Node::holds_mount_point() const {
  return is_mount_point || std::any_of(children.begin(), children.end(),
                                       [](const auto& child) { return child.second->holds_mount_point(); });
}

bool Node::is_closed() const {
  for (const Node* node = this; node != nullptr && (node == this || !node->is_mount_point); node = node->parent) {
    if (node->closed) {
      return true;
    }
  }
  return false;
}

View::~View() = default;

Result<std::unique_ptr<View>> View::create(const ViewOptions& options) {
  std::unique_ptr<View> view(new View());
  view->layer_path_ = options.layer;
  view->lower_.reset(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!view->lower_) {
    return Error::from_errno("open /");
  }
  if (::mkdir(options.layer.c_str(), 0700) != 0 && errno != EEXIST) {
    return Error::from_errno("make the private layer " + options.layer);
  }
  view->layer_.reset(::open(options.layer.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  struct stat status {};
  if (!view->layer_ || ::fstat(view->layer_.get(), &status) != 0) {
    return Error::from_errno("open the private layer " + options.layer);
  }
  view->layer_device_ = status.st_dev;
  for (const char* name : {kRootLayer, kMountLayers, kControl}) {
    if (::mkdirat(view->layer_.get(), name, 0700) != 0 && errno != EEXIST) {
      return Error::from_errno("make " + options.layer + "/" + name);
    }
  }
  if (::geteuid() == 0) {
    // Processes of root's sandboxes may act under other ids (setuid(2)); then so does the thread that answers them.
    for (const char* name : {".", kRootLayer, kMountLayers}) {
      (void)::fchmodat(view->layer_.get(), name, 0711, 0);
    }
  }
  view->root_ = std::make_unique<Node>();
  for (const MountRequest& request : options.mounts) {
    BEAM_TRY(view->add(request));
  }
  if (view->mounts_.empty() || view->mounts_.front()->at != "/") {
    return Error(EINVAL, "a mount view needs a root");
  }
  view->count_links();
  return view;
}

// The node of `at`, with those above it. What is not there on the way is made: an empty directory in the layer.
Node* View::make_way(const std::string& at) {
  Node* node = root_.get();
  std::string_view rest = at;
  while (true) {
    const std::string name(next_component(rest));
    if (name.empty()) {
      return node;
    }
    Node* child = node->child(name);
    if (child == nullptr) {
      auto made = std::make_unique<Node>();
      made->parent = node;
      made->name = name;
      made->mount = node->mount;
      made->layer = join_path(node->layer, name);
      const bool lower = node->state == Node::State::kLower || node->state == Node::State::kPartial ||
                         node->state == Node::State::kHost;
      if (lower) {
        made->state = node->state == Node::State::kHost ? Node::State::kHost : Node::State::kLower;
        made->has_origin = true;
        made->origin = join_path(node->origin, name);
      } else {
        made->state = Node::State::kComplete;
        made->on_disk = true;
      }
      child = node->children.emplace(name, std::move(made)).first->second.get();
    }
    node = child;
  }
}

Result<> View::add(const MountRequest& request) {
  auto mount = std::make_unique<Mount>();
  mount->kind = request.kind;
  mount->at = request.at.empty() ? "/" : request.at;
  mount->source = without_slash(request.source);
  mount->read_only = request.read_only;
  mount->type = request.type.empty() ? type_of(request.kind) : request.type;
  mount->id = 1 + static_cast<int>(mounts_.size());
  const bool root = mount->at == "/";
  mount->layer = root ? kRootLayer : join_path(kMountLayers, escaped_name(mount->at));
  const std::string bare = without_slash(mount->at);
  // The mount point has to be listed: where the view has nothing of its name, a placeholder is made.
  if (!root && request.kind != MountKind::kAbsent) {
    const Spot spot = locate(mount->at);
    UniqueFd fd;
    struct stat status {};
    if (look(spot, fd, status) != 0 && spot.space != Spot::Space::kProc) {
      const std::size_t cut = mount->at.rfind('/');
      const std::string above = cut == 0 ? "/" : mount->at.substr(0, cut);
      std::string way;
      std::string_view left = mount->at;
      for (std::string name(next_component(left)); !name.empty(); name = std::string(next_component(left))) {
        const Spot up = locate(way.empty() ? "/" : way);
        way += "/" + name;
        if (look(locate(way), fd, status) == 0) {
          continue;
        }
        if (up.space == Spot::Space::kHost) {
          return Error(ENOENT, mount->at + ": is not there, and nothing is made below a bound directory")
              .remedy("make it on the workstation");
        }
        Directory directory;
        if (const int error = make_changeable(up, directory); error != 0) {
          return Error(error, mount->at + ": make the mount point");
        }
        const bool file = request.is_file && way == mount->at;
        const int made = file ? (::mknodat(directory.fd.get(), name.c_str(), S_IFREG | 0644, 0) == 0 ? 0 : errno)
                              : place_mount_point(directory.fd.get(), name, without_slash(way));
        if (made != 0 && made != EEXIST) {
          return Error(made, mount->at + ": make the mount point");
        }
      }
    }
  }
  if (request.kind == MountKind::kAbsent && is_made_anew(mount->at)) {
    mounts_.push_back(std::move(mount));  // the jail keeps the workstation's from it all the same
    return success();
  }
  Node* node = make_way(bare);
  node->children.clear();  // hidden by the new mount
  node->stubs.clear();
  node->mount = mount.get();
  node->is_mount_point = true;
  node->origin = mount->source;
  node->has_origin = true;
  node->layer = mount->layer;
  node->on_disk = false;
  mount->parent_id = node->parent != nullptr ? node->parent->mount->id : 0;
  switch (request.kind) {
    case MountKind::kCow:
      node->state = Node::State::kLower;
      if (::mkdirat(layer_.get(), mount->layer.c_str(), 0700) != 0 && errno != EEXIST) {
        return Error::from_errno(mount->at + ": make its private layer");
      }
      node->on_disk = true;
      BEAM_TRY(load(*node));
      break;
    case MountKind::kHost:
      node->state = Node::State::kHost;
      break;
    case MountKind::kPrivate: {
      node->state = Node::State::kComplete;
      node->has_origin = false;
      node->origin.clear();
      node->on_disk = true;
      const int made = request.is_file ? ::mknodat(layer_.get(), mount->layer.c_str(), S_IFREG | request.mode, 0)
                                       : ::mkdirat(layer_.get(), mount->layer.c_str(), request.mode);
      if (made != 0 && errno != EEXIST) {
        return Error::from_errno(mount->at + ": make its private directory");
      }
      if (made == 0 && ::fchmodat(layer_.get(), mount->layer.c_str(), request.mode, 0) != 0) {
        return Error::from_errno(mount->at + ": set the mode of its private directory");
      }
      if (made != 0 && !request.is_file) {
        BEAM_TRY(load(*node));
      }
      BEAM_TRY(furnish(*node, request, made == 0));
      break;
    }
    case MountKind::kProc:
      node->state = Node::State::kProc;
      break;
    case MountKind::kAbsent:
      node->state = Node::State::kAbsent;
      break;
  }
  mounts_.push_back(std::move(mount));
  return success();
}

// Whether the sandbox has made something of its own where the workstation has (or had) something that is kept from it.
bool View::is_made_anew(const std::string& at) const {
  const Spot spot = locate(at);
  if (spot.space != Spot::Space::kLayer || spot.node->state != Node::State::kComplete) {
    return false;
  }
  UniqueFd fd;
  if (open_spot(spot, O_PATH, 0, fd) != 0) {
    return true;  // missing in a complete directory, and so free to be made
  }
  const auto mark = read_mark(fd.get());
  return !mark || mark->state != 'L' || mark->origin != without_slash(at);
}

// Of one that is not fresh, what is no longer there has been removed.
Result<> View::furnish(Node& node, const MountRequest& request, bool fresh) {
  UniqueFd fd;
  for (const auto& [name, target] : request.links) {
    if (!fresh) {
      break;
    }
    const std::string place = join_path(node.layer, name);
    if (::symlinkat(target.c_str(), layer_.get(), place.c_str()) != 0 && errno != EEXIST) {
      return Error::from_errno(request.at + "/" + name + ": make the link");
    }
  }
  if (request.devices.empty()) {
    return success();
  }
  if (const int error = open_beneath(layer_.get(), node.layer, O_PATH | O_DIRECTORY, 0, fd); error != 0) {
    return Error(error, request.at + ": open");
  }
  for (const auto& [name, device] : request.devices) {
    if (const int error = fresh ? place_stub(S_IFCHR, fd.get(), name) : 0; error != 0 && error != EEXIST) {
      return Error(error, request.at + "/" + name + ": make the device");
    }
    struct stat status {};
    if (::fstatat(fd.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0 || !is_stub(status)) {
      continue;
    }
    node.stubs[name] = without_slash(device);
  }
  return success();
}

// What an earlier run has left in the layer.
Result<> View::load(Node& node) {
  OwnDirectory fd;
  if (const int error = fd.open(layer_.get(), node.layer); error != 0) {
    return Error(error, layer_path_ + "/" + node.layer + ": open");
  }
  if (const auto mark = read_mark(fd.get())) {
    node.state = mark->state == 'C'   ? Node::State::kComplete
                 : mark->state == 'P' ? Node::State::kPartial
                                      : Node::State::kLower;
    node.has_origin = true;
    if (!node.is_mount_point) {
      node.origin = mark->origin;
    }
    node.closed = node.state == Node::State::kComplete && (fd.status().st_mode & S_IXUSR) == 0;
  }
  std::vector<DirectoryEntry> entries;
  if (const int error = read_directory(fd.get(), entries); error != 0) {
    return Error(error, layer_path_ + "/" + node.layer + ": read");
  }
  for (const DirectoryEntry& entry : entries) {
    if (entry.type == DT_DIR) {
      auto child = std::make_unique<Node>();
      child->parent = &node;
      child->name = entry.name;
      child->mount = node.mount;
      child->layer = join_path(node.layer, entry.name);
      child->state = Node::State::kComplete;
      child->on_disk = true;
      BEAM_TRY(load(*child));
      if (child->has_origin || !child->children.empty() || !child->stubs.empty()) {
        Node* kept = node.children.emplace(entry.name, std::move(child)).first->second.get();
        if (kept->has_origin && kept->origin != join_path(node.origin, entry.name)) {
          note_moved(*kept);
        }
      }
      continue;
    }
    struct stat status {};
    if (::fstatat(fd.get(), entry.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      continue;
    }
    if (is_stub(status)) {
      node.stubs.emplace(entry.name, read_stub_origin(fd.get(), entry.name));
    } else if (S_ISREG(status.st_mode)) {
      if (const auto owner = read_owner(fd.get(), entry.name)) {
        owners_[status.st_ino] = Owner{owner->first, owner->second};
      }
    }
  }
  return success();
}

Spot View::locate(std::string_view view) const {
  Spot spot;
  spot.view = view;
  spot.node = root_.get();
  std::string_view rest = view;
  while (true) {
    std::string_view left = rest;
    const std::string_view name = next_component(left);
    Node* child = name.empty() || spot.node->state == Node::State::kProc ? nullptr : spot.node->child(name);
    if (child == nullptr) {
      break;
    }
    spot.node = child;
    rest = left;
  }
  rest.remove_prefix(std::min(rest.find_first_not_of('/'), rest.size()));
  spot.rest = rest;
  const Node& node = *spot.node;
  switch (node.state) {
    case Node::State::kLower:
    case Node::State::kPartial:
      spot.space = Spot::Space::kLower;
      spot.path = join_path(node.origin, rest);
      break;
    case Node::State::kHost:
      spot.space = Spot::Space::kHost;
      spot.path = join_path(node.origin, rest);
      break;
    case Node::State::kProc:
      spot.space = Spot::Space::kProc;
      break;
    case Node::State::kAbsent:
      spot.space = Spot::Space::kAbsent;
      break;
    case Node::State::kComplete: {
      std::string_view left = rest;
      const std::string first(next_component(left));
      if (!node.stubs.empty() && node.stubs.find(first) != node.stubs.end()) {
        spot.space = Spot::Space::kLower;
        spot.stub = true;
        spot.path = node.stub_origin(first) + std::string(left);
      } else {
        spot.space = Spot::Space::kLayer;
        spot.path = join_path(node.layer, rest);
      }
      break;
    }
  }
  return spot;
}

int View::anchor(const Spot& spot) const {
  return spot.space == Spot::Space::kLayer ? layer_.get() : lower_.get();
}

int View::open_spot(const Spot& spot, int flags, mode_t mode, UniqueFd& fd) const {
  if (spot.space == Spot::Space::kAbsent || spot.space == Spot::Space::kProc) {
    return ENOENT;
  }
  return open_beneath(anchor(spot), spot.path, flags, mode, fd);
}

int View::look(const Spot& spot, UniqueFd& fd, struct stat& status) const {
  if (spot.space == Spot::Space::kLower) {
    const Node* above = spot.stub || spot.node->is_mount_point ? spot.node : spot.node->parent;
    if (above != nullptr && above->is_closed() && acting_uid() != 0) {
      return EACCES;
    }
  }
  if (const int error = open_spot(spot, O_PATH | O_NOFOLLOW, 0, fd); error != 0) {
    return error;
  }
  if (::fstat(fd.get(), &status) != 0) {
    return errno;
  }
  show_owner(spot, status);
  if (spot.stub && !linked_.empty()) {
    const auto links = linked_.find(spot.path);
    status.st_nlink += links != linked_.end() ? links->second - 1 : 0;
  }
  return 0;
}

void View::show_owner(const Spot& spot, struct stat& status) const {
  if (spot.space != Spot::Space::kLayer || owners_.empty()) {
    return;
  }
  if (const auto owner = owners_.find(status.st_ino); owner != owners_.end()) {
    status.st_uid = owner->second.uid;
    status.st_gid = owner->second.gid;
  }
}

std::string View::host_path(const Spot& spot) const {
  return spot.space == Spot::Space::kLayer ? join_path(layer_path_, spot.path) : "/" + spot.path;
}

std::optional<std::string> View::view_path_locked(std::string_view host) const {
  if (!host.starts_with('/') || host.ends_with(kDeleted)) {
    return std::nullopt;
  }
  std::string_view rest;
  if (is_below(host, layer_path_, rest)) {
    const Mount* best = nullptr;
    std::string_view best_rest;
    for (const auto& mount : mounts_) {
      std::string_view behind;
      if ((mount->kind == MountKind::kCow || mount->kind == MountKind::kPrivate) &&
          is_below(rest, mount->layer, behind)) {
        best = mount.get();
        best_rest = behind;
      }
    }
    return best != nullptr ? std::optional(join_path(best->at, best_rest)) : std::nullopt;
  }
  const std::string_view path = host.substr(1);
  if (!moved_.empty()) {
    for (std::string_view above = path; !above.empty();
         above = above.substr(0, above.rfind('/') == std::string_view::npos ? 0 : above.rfind('/'))) {
      const auto found = moved_.find(above);
      if (found != moved_.end()) {
        if (found->second == nullptr) {
          return std::nullopt;
        }
        return join_path(found->second->view_path(), path.substr(std::min(path.size(), above.size() + 1)));
      }
    }
  }
  const Mount* best = nullptr;
  std::string_view best_rest;
  for (const auto& mount : mounts_) {
    std::string_view behind;
    if ((mount->kind == MountKind::kCow || mount->kind == MountKind::kHost) && is_below(path, mount->source, behind) &&
        (best == nullptr || mount->source.size() >= best->source.size())) {
      best = mount.get();
      best_rest = behind;
    }
  }
  if (best == nullptr) {
    return std::nullopt;
  }
  std::string view = join_path(best->at, best_rest);
  const Spot spot = locate(view);
  if (spot.space == Spot::Space::kAbsent || spot.node->mount->kind == MountKind::kPrivate) {
    return std::nullopt;
  }
  return view;
}

std::optional<std::string> View::former_path(std::string_view host) const {
  if (host.ends_with(kDeleted)) {
    host.remove_suffix(kDeleted.size());
  }
  std::string below;
  const std::shared_lock lock(mutex_);
  while (host.starts_with('/') && host.size() > 1) {
    const std::size_t cut = host.rfind('/');
    below = join_path(host.substr(cut + 1), below);
    host = host.substr(0, std::max<std::size_t>(cut, 1));
    if (const auto above = view_path_locked(host)) {
      return join_path(*above, below);
    }
  }
  return std::nullopt;
}

std::string View::shown(std::string_view host) const {
  const bool deleted = host.ends_with(kDeleted);
  const std::string_view bare = deleted ? host.substr(0, host.size() - kDeleted.size()) : host;
  const auto view = view_path(bare);
  return view ? *view + std::string(deleted ? kDeleted : "") : std::string(host);
}

}  // namespace beam::rootfs
