// The places of a mount view that are not simply the workstation's: mount points, and the directories of which the
// private layer has a copy, with the way down to them. Everything else follows from the nearest of these above it.
//
// A directory of the workstation is in one of three states. kLower: all of it is the workstation's. kPartial: so is its
// listing, but the layer has some of its subdirectories. kComplete: something in it was changed, so the layer has an
// entry for every name; a file that itself is unchanged is a placeholder there (a stub), an unchanged directory an
// empty one. What the kernel lists, renames, links and removes in the layer is then the view's, atomically and with no
// whiteouts: a name that is not in a complete directory is not there.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "rootfs/view_options.h"

namespace beam::rootfs {

struct Mount {
  MountKind kind = MountKind::kCow;
  std::string at;      // in the view, canonical
  std::string source;  // on the workstation, without the leading slash
  bool read_only = false;
  std::string layer;  // in the layer's directory: what this mount keeps
  std::string type;   // as /proc/mounts shows it
  int id = 0;
  int parent_id = 0;
};

struct Node {
  enum class State { kLower, kPartial, kComplete, kHost, kProc, kAbsent };
  Node* parent = nullptr;
  std::string name;
  const Mount* mount = nullptr;
  bool is_mount_point = false;
  State state = State::kLower;
  bool has_origin = false;
  std::string origin;    // on the workstation, without the leading slash: of kLower, kPartial, and most kComplete ones
  std::string layer;     // in the layer's directory
  bool on_disk = false;  // the layer has the directory
  // The view has taken the right to search it away, which the workstation's files below it know nothing of.
  bool closed = false;
  std::map<std::string, std::unique_ptr<Node>, std::less<>> children;
  // Of a kComplete one: files that still are the workstation's. Empty: of the same name in `origin`.
  std::unordered_map<std::string, std::string> stubs;

  Node* child(std::string_view child_name) const {
    const auto found = children.find(child_name);
    return found != children.end() ? found->second.get() : nullptr;
  }
  [[nodiscard]] std::string view_path() const;
  // The workstation's file behind a stub.
  [[nodiscard]] std::string stub_origin(const std::string& stub) const;
  // A mount point at it or below it, which can't be moved or removed.
  [[nodiscard]] bool holds_mount_point() const;
  // Whether it, or a directory above it in the layer, is closed.
  [[nodiscard]] bool is_closed() const;
};

// Where an object of the view lies, whether it exists or not.
struct Spot {
  enum class Space { kLower, kLayer, kHost, kProc, kAbsent };
  Node* node = nullptr;  // the nearest at or above it
  std::string rest;      // below `node`; empty: it is the node's own directory
  Space space = Space::kLower;
  bool stub = false;  // kLower, and the layer has a placeholder for it
  std::string path;   // relative to the root of the workstation, or to the layer's directory
  std::string view;
};

}  // namespace beam::rootfs
