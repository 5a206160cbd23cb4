// What a mount view is made of.
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

namespace beam::rootfs {

enum class MountKind {
  kCow,      // `source`, with writes kept in the layer
  kHost,     // `source` itself
  kPrivate,  // a directory of the layer, empty at first
  kProc,
  kAbsent,  // a secret that the workstation does not have (yet)
};

struct MountRequest {
  MountKind kind = MountKind::kCow;
  std::string at = {};      // absolute
  std::string source = {};  // absolute; of kCow and kHost
  bool read_only = false;
  mode_t mode = 0755;     // of a kPrivate one
  bool is_file = false;   // a kPrivate one that is an empty file
  std::string type = {};  // what /proc/mounts calls it; empty: by kind
  // Of a kPrivate directory: symbolic links in it, and devices of the workstation, by name.
  std::vector<std::pair<std::string, std::string>> links = {};
  std::vector<std::pair<std::string, std::string>> devices = {};
};

struct ViewOptions {
  std::string layer;                 // the layer's directory, absolute; made if it is not there
  std::vector<MountRequest> mounts;  // in order: later ones lie over earlier ones
};

}  // namespace beam::rootfs
