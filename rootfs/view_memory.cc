// What a view knows beyond its layer.
#include <fcntl.h>
#include <sys/stat.h>

#include "rootfs/host_file.h"
#include "rootfs/view.h"

namespace beam::rootfs {
namespace {

void collect_stubs(const Node& node, int layer, std::vector<View::Memory::Stub>& stubs) {
  for (const auto& [name, origin] : node.stubs) {
    // A file says itself where it comes from (layer_format.h).
    UniqueFd fd;
    struct stat status {};
    const std::string place = join_path(node.layer, name);
    if (!origin.empty() && open_beneath(layer, place, O_PATH, 0, fd) == 0 && ::fstat(fd.get(), &status) == 0 &&
        !S_ISREG(status.st_mode)) {
      stubs.push_back({place, origin});
    }
  }
  for (const auto& [name, child] : node.children) {
    collect_stubs(*child, layer, stubs);
  }
}

Node* find_in_layer(Node& node, const std::string& directory) {
  if (node.layer == directory && node.state == Node::State::kComplete) {
    return &node;
  }
  for (const auto& [name, child] : node.children) {
    if (Node* found = find_in_layer(*child, directory); found != nullptr) {
      return found;
    }
  }
  return nullptr;
}

}  // namespace

View::Memory View::remember() const {
  const std::shared_lock lock(mutex_);
  Memory memory;
  for (const auto& [origin, node] : moved_) {
    if (node == nullptr) {
      memory.removed.push_back(origin);
    }
  }
  collect_stubs(*root_, layer_.get(), memory.stubs);
  return memory;
}

void View::recall(const Memory& memory) {
  const std::unique_lock lock(mutex_);
  for (const std::string& origin : memory.removed) {
    moved_.emplace(origin, nullptr);
  }
  for (const auto& [place, origin] : memory.stubs) {
    const std::size_t cut = place.rfind('/');
    Node* node = cut == std::string::npos ? nullptr : find_in_layer(*root_, place.substr(0, cut));
    if (node != nullptr) {
      node->stubs[place.substr(cut + 1)] = origin;
    }
  }
  count_links();
}

std::optional<std::pair<uid_t, gid_t>> View::shown_owner(ino_t inode) const {
  const std::shared_lock lock(mutex_);
  const auto found = owners_.find(inode);
  return found == owners_.end() ? std::nullopt : std::optional(std::pair(found->second.uid, found->second.gid));
}

void View::show_owner_as(const std::string& place, uid_t uid, gid_t gid) {
  const std::unique_lock lock(mutex_);
  UniqueFd fd;
  struct stat status {};
  if (open_beneath(layer_.get(), place, O_PATH, 0, fd) == 0 && ::fstat(fd.get(), &status) == 0) {
    owners_[status.st_ino] = Owner{uid, gid};
  }
}

}  // namespace beam::rootfs
