// What goes into the private layer: directories that are about to be changed, and copies of files.
#include <dirent.h>
#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

#include "base/log.h"
#include "rootfs/host_file.h"
#include "rootfs/layer_format.h"
#include "rootfs/proc_entry.h"
#include "rootfs/view.h"

namespace beam::rootfs {
namespace {

// What is not of the view: searchable, as root's layer is used under other ids as well.
constexpr mode_t kOwn = 0711;

// A file time that is taken now, as the kernel takes them.
std::int64_t now() {
  timespec time{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &time);
  return nanoseconds(time);
}

mode_t type_of(unsigned char type) {
  return static_cast<mode_t>(DTTOIF(type));
}

std::string stub_name(mode_t type) {
  return std::string(kControl) + (S_ISREG(type) ? "/file" : S_ISSOCK(type) ? "/socket" : "/device");
}

// Umask 0 is needed where a mode is meant as it is given.
class NoUmask {
 public:
  NoUmask() : before_(::umask(0)) {}
  ~NoUmask() { ::umask(before_); }
  NoUmask(const NoUmask&) = delete;
  NoUmask& operator=(const NoUmask&) = delete;

 private:
  const mode_t before_;
};

}  // namespace

int View::make_changeable(const Spot& spot, Directory& directory) {
  directory.spot = spot;
  directory.mount = spot.node->mount;
  switch (spot.space) {
    case Spot::Space::kAbsent:
    case Spot::Space::kProc:
      return EPERM;
    case Spot::Space::kHost:
      if (directory.mount->read_only) {
        return EROFS;
      }
      return open_spot(spot, O_PATH | O_DIRECTORY, 0, directory.fd);
    case Spot::Space::kLayer:
      directory.node = spot.rest.empty() ? spot.node : nullptr;
      return open_spot(spot, O_PATH | O_DIRECTORY, 0, directory.fd);
    case Spot::Space::kLower:
      break;
  }
  const NoUmask no_umask;
  const OwnIds own_ids;
  Node* node = spot.node;
  std::string_view rest = spot.rest;
  while (true) {
    const std::string name(next_component(rest));
    if (name.empty()) {
      break;
    }
    if (const int error = shadow(*node, name, node); error != 0) {
      return error;
    }
  }
  if (const int error = complete(*node); error != 0) {
    return error;
  }
  directory.node = node;
  directory.spot = locate(spot.view);
  return open_beneath(layer_.get(), node->layer, O_PATH | O_DIRECTORY, 0, directory.fd);
}

int View::shadow(Node& parent, const std::string& name, Node*& child) {
  child = parent.child(name);
  if (child == nullptr) {
    auto made = std::make_unique<Node>();
    made->parent = &parent;
    made->name = name;
    made->mount = parent.mount;
    made->has_origin = true;
    made->origin = join_path(parent.origin, name);
    made->layer = join_path(parent.layer, name);
    child = parent.children.emplace(name, std::move(made)).first->second.get();
  }
  return put_on_disk(*child);
}

int View::put_on_disk(Node& node) {
  if (node.on_disk || node.is_mount_point) {
    return 0;
  }
  Node& parent = *node.parent;
  if (const int error = put_on_disk(parent); error != 0) {
    return error;
  }
  if (::mkdirat(layer_.get(), node.layer.c_str(), kOwn) != 0 && errno != EEXIST) {
    return errno;
  }
  UniqueFd fd;
  int error = open_beneath(layer_.get(), node.layer, O_RDONLY | O_DIRECTORY, 0, fd);
  if (error == 0) {
    error = write_mark(fd.get(), {'L', node.origin});
  }
  if (error == 0 && parent.state == Node::State::kLower && parent.on_disk) {
    UniqueFd up;
    error = open_beneath(layer_.get(), parent.layer, O_RDONLY | O_DIRECTORY, 0, up);
    if (error == 0) {
      error = write_mark(up.get(), {'P', parent.origin});
    }
    parent.state = Node::State::kPartial;
  }
  if (error != 0) {
    ::unlinkat(layer_.get(), node.layer.c_str(), AT_REMOVEDIR);
    return error;
  }
  node.on_disk = true;
  return 0;
}

int View::complete(Node& node) {
  if (node.state == Node::State::kComplete) {
    return 0;
  }
  if (node.state != Node::State::kLower && node.state != Node::State::kPartial) {
    return EPERM;
  }
  if (const int error = put_on_disk(node); error != 0) {
    return error;
  }
  UniqueFd lower;
  UniqueFd layer;
  struct stat status {};
  const Mark mark{'C', node.origin, now()};
  int error = open_beneath(lower_.get(), node.origin, O_RDONLY | O_DIRECTORY, 0, lower);
  error = error != 0 ? error : open_beneath(layer_.get(), node.layer, O_RDONLY | O_DIRECTORY, 0, layer);
  if (error == 0 && ::fstat(lower.get(), &status) != 0) {
    error = errno;
  }
  if (error != 0) {
    return error;
  }
  std::vector<std::string> made;
  error = fill(node, lower.get(), layer.get(), made);
  error = error != 0 ? error : write_mark(layer.get(), mark);
  error = error != 0 ? error : copy_attributes(lower.get(), layer.get(), status);
  if (error != 0) {
    for (const std::string& name : made) {
      if (::unlinkat(layer.get(), name.c_str(), 0) != 0) {
        ::unlinkat(layer.get(), name.c_str(), AT_REMOVEDIR);
        node.children.erase(name);
      }
      node.stubs.erase(name);
    }
    return error;
  }
  remember_owner(layer.get(), status);
  // What the workstation does not have may be made in the view from now on; what it has stays out of it.
  std::erase_if(node.children, [&](const auto& child) {
    return child.second->state == Node::State::kAbsent && ::faccessat(layer.get(), child.first.c_str(), F_OK, 0) != 0;
  });
  node.state = Node::State::kComplete;
  node.closed = (status.st_mode & S_IXUSR) == 0;
  BEAM_LOG_DEBUG(kRootfs, "completed {} with {} entries", node.layer, made.size());
  return 0;
}

int View::fill(Node& node, int lower, int layer, std::vector<std::string>& made) {
  std::vector<DirectoryEntry> entries;
  if (const int error = read_directory(lower, entries); error != 0) {
    return error;
  }
  for (const DirectoryEntry& entry : entries) {
    Node* child = node.child(entry.name);
    if (child != nullptr && (child->on_disk && !child->is_mount_point)) {
      continue;
    }
    made.push_back(entry.name);
    if (child != nullptr && !child->is_mount_point) {
      // On the way to a mount point.
      if (const int error = put_on_disk(*child); error != 0) {
        return error;
      }
      continue;
    }
    if (const int error = place_entry(node, lower, layer, entry.name, entry.type);
        error != 0 && error != EEXIST && error != ENOENT) {
      return error;
    }
  }
  return 0;
}

int View::place_entry(Node& node, int lower, int layer, const std::string& name, unsigned char type) {
  const Node* point = node.child(name);
  switch (type) {
    case DT_DIR: {
      if (point != nullptr) {
        return place_mount_point(layer, name, join_path(node.origin, name));
      }
      Node* child = nullptr;
      return shadow(node, name, child);
    }
    case DT_LNK:
    case DT_FIFO: {
      UniqueFd from(::openat(lower, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
      struct stat status {};
      if (!from || ::fstat(from.get(), &status) != 0) {
        return errno;
      }
      if (type == DT_LNK) {
        std::string target;
        if (const int error = read_link_of(from.get(), target); error != 0) {
          return error;
        }
        if (::symlinkat(target.c_str(), layer, name.c_str()) != 0) {
          return errno;
        }
      } else if (::mknodat(layer, name.c_str(), S_IFIFO | kOwn, 0) != 0) {
        return errno;
      }
      UniqueFd to(::openat(layer, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
      if (!to) {
        return errno;
      }
      const int error = copy_attributes(from.get(), to.get(), status);
      remember_owner(to.get(), status);
      return error;
    }
    default:
      if (const int error = place_stub(type_of(type), layer, name); error != 0) {
        return error;
      }
      if (point == nullptr) {
        node.stubs.emplace(name, std::string());
      }
      return 0;
  }
}

// A directory that something else lies over, and that is no change of the workstation's.
int View::place_mount_point(int directory, const std::string& name, const std::string& origin) {
  if (::mkdirat(directory, name.c_str(), 0755) != 0) {
    return errno;
  }
  UniqueFd fd;
  const int error = open_beneath(directory, name, O_RDONLY | O_DIRECTORY, 0, fd);
  return error != 0 ? error : write_mark(fd.get(), {'L', origin});
}

int View::place_stub(mode_t type, int directory, const std::string& name) {
  const std::string common = stub_name(type);
  // A file has room for so many links (EMLINK); then the next one begins.
  for (int attempt = 0; attempt < 3; ++attempt) {
    if (::linkat(layer_.get(), common.c_str(), directory, name.c_str(), 0) == 0) {
      return 0;
    }
    if (errno == EMLINK && ::unlinkat(layer_.get(), common.c_str(), 0) != 0) {
      return errno;
    }
    if (errno != ENOENT && errno != EMLINK) {
      return errno;
    }
    const mode_t kind = S_ISREG(type) || S_ISSOCK(type) ? type : S_IFCHR;
    if (::mknodat(layer_.get(), common.c_str(), kind | kStubMode, makedev(0, 0)) != 0) {
      return errno;
    }
  }
  return EMLINK;
}

// A stub that is no longer where its file is gets one of its own, which says where that is.
int View::keep_origin(const Node& node, const std::string& name, const std::string& origin) {
  const std::string place = join_path(node.layer, name);
  struct stat status {};
  if (::fstatat(layer_.get(), place.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return errno;
  }
  if (!S_ISREG(status.st_mode)) {
    return 0;  // remembered while the sandbox runs; such a file has no place for more
  }
  const std::string made = std::string(kControl) + "/stub-" + std::to_string(++counter_);
  UniqueFd fd;
  if (const int error = open_beneath(layer_.get(), made, O_RDWR | O_CREAT | O_EXCL, 0600, fd); error != 0) {
    return error;
  }
  int error = write_stub_origin(fd.get(), origin);
  if (error == 0 && (::fchmod(fd.get(), kStubMode) != 0 ||
                     ::renameat(layer_.get(), made.c_str(), layer_.get(), place.c_str()) != 0)) {
    error = errno;
  }
  if (error != 0) {
    ::unlinkat(layer_.get(), made.c_str(), 0);
  }
  return error;
}

int View::link_stub(const Spot& from, const Parent& to) {
  const std::size_t cut = from.view.rfind('/');
  const std::string name = from.view.substr(cut + 1);
  Directory source;
  Directory target;
  int error = make_changeable(locate(cut == 0 ? "/" : from.view.substr(0, cut)), source);
  error = error != 0 ? error : make_changeable(locate(to.spot.view), target);
  if (error != 0) {
    return error;
  }
  if (source.node == nullptr || !source.node->stubs.contains(name)) {
    return ENOENT;  // the workstation has removed it meanwhile
  }
  const OwnIds own_ids;
  const std::string origin = source.node->stub_origin(name);
  if (error = place_stub(S_IFREG, target.fd.get(), to.name); error != 0) {
    return error;
  }
  Node& node = *node_for(target);
  const bool default_place = node.has_origin && origin == join_path(node.origin, to.name);
  if (!default_place) {
    if (error = keep_origin(node, to.name, origin); error != 0) {
      ::unlinkat(target.fd.get(), to.name.c_str(), 0);
      return error;
    }
  }
  node.stubs[to.name] = default_place ? std::string() : origin;
  const auto links = linked_.emplace(origin, 1).first;
  ++links->second;
  return 0;
}

namespace {

template <typename Visit>
void for_each_stub(Node& node, const Visit& visit) {
  for (const auto& [stub, origin] : node.stubs) {
    if (node.has_origin || !origin.empty()) {
      visit(node, stub);
    }
  }
  for (const auto& child : node.children) {
    for_each_stub(*child.second, visit);
  }
}

}  // namespace

// A file that has been copied keeps its other names: they lead to the copy from now on.
int View::link_to_copy(const std::string& origin, const Directory& directory, const std::string& name) {
  if (linked_.erase(origin) == 0) {
    return 0;
  }
  std::vector<std::pair<Node*, std::string>> others;
  for_each_stub(*root_, [&](Node& node, const std::string& stub) {
    if (node.stub_origin(stub) == origin) {
      others.emplace_back(&node, stub);
    }
  });
  for (const auto& [node, stub] : others) {
    const std::string made = std::string(kControl) + "/link-" + std::to_string(++counter_);
    if (::linkat(directory.fd.get(), name.c_str(), layer_.get(), made.c_str(), 0) != 0) {
      return errno;
    }
    if (::renameat(layer_.get(), made.c_str(), layer_.get(), join_path(node->layer, stub).c_str()) != 0) {
      const int error = errno;
      ::unlinkat(layer_.get(), made.c_str(), 0);
      return error;
    }
    node->stubs.erase(stub);
  }
  return 0;
}

// Of a layer that has been there before.
void View::count_links() {
  std::unordered_map<std::string, nlink_t> names;
  bool some = false;
  for_each_stub(*root_, [&](Node& node, const std::string& stub) {
    some = some || !node.stubs.at(stub).empty();
    ++names[node.stub_origin(stub)];
  });
  if (some) {
    std::erase_if(names, [](const auto& name) { return name.second < 2; });
    linked_ = std::move(names);
  }
}

int View::copy_up(const Spot& spot, bool contents) {
  const std::size_t cut = spot.view.rfind('/');
  if (cut == std::string::npos || spot.view.size() == 1) {
    return EPERM;
  }
  const std::string name = spot.view.substr(cut + 1);
  Directory directory;
  if (const int error = make_changeable(locate(cut == 0 ? "/" : spot.view.substr(0, cut)), directory); error != 0) {
    return error;
  }
  if (directory.node == nullptr || directory.node->stubs.find(name) == directory.node->stubs.end()) {
    return 0;  // a link or a FIFO, of which the layer has a copy from the first
  }
  Node& node = *directory.node;
  const std::string origin = node.stub_origin(name);
  const OwnIds own_ids;
  UniqueFd from;
  struct stat status {};
  if (const int error = open_beneath(lower_.get(), origin, O_PATH | O_NOFOLLOW, 0, from); error != 0) {
    return error;
  }
  if (::fstat(from.get(), &status) != 0) {
    return errno;
  }
  if (!S_ISREG(status.st_mode)) {
    return EPERM;
  }
  UniqueFd readable;
  if (contents) {
    readable.reset(::open(descriptor_path(from.get()).c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
    if (!readable) {
      return errno;
    }
  }
  const NoUmask no_umask;
  const std::string made = std::string(kControl) + "/copy-" + std::to_string(++counter_);
  UniqueFd to;
  int error = open_beneath(layer_.get(), made, O_RDWR | O_CREAT | O_EXCL, 0600, to);
  if (error != 0) {
    return error;
  }
  error = contents ? copy_contents(readable.get(), to.get()) : 0;
  error = error != 0 ? error : write_base(to.get(), {origin, nanoseconds(status.st_ctim)});
  if (error == 0 && acting_uid() != 0 && (status.st_uid != acting_uid())) {
    error = write_owner(to.get(), status.st_uid, status.st_gid);
  }
  error = error != 0 ? error : copy_attributes(from.get(), to.get(), status);
  if (error == 0 && ::renameat(layer_.get(), made.c_str(), directory.fd.get(), name.c_str()) != 0) {
    error = errno;
  }
  if (error != 0) {
    ::unlinkat(layer_.get(), made.c_str(), 0);
    return error;
  }
  node.stubs.erase(name);
  remember_owner(to.get(), status);
  return link_to_copy(origin, directory, name);
}

void View::remember_owner(int fd, const struct stat& shown) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) {
    return;
  }
  if (status.st_uid == shown.st_uid && status.st_gid == shown.st_gid) {
    owners_.erase(status.st_ino);
  } else {
    owners_[status.st_ino] = Owner{shown.st_uid, shown.st_gid};
  }
}

}  // namespace beam::rootfs
