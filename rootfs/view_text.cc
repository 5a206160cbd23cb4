// What /proc/self/mounts, mountinfo and maps show of the view.
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "rootfs/view.h"

namespace beam::rootfs {
namespace {

// As the kernel does (fs/proc_namespace.c, mangle).
std::string mangled(const std::string& path) {
  std::string text;
  for (const char c : path) {
    switch (c) {
      case ' ':
        text += "\\040";
        break;
      case '\t':
        text += "\\011";
        break;
      case '\n':
        text += "\\012";
        break;
      case '\\':
        text += "\\134";
        break;
      default:
        text += c;
    }
  }
  return text;
}

std::string source_of(const Mount& mount) {
  switch (mount.kind) {
    case MountKind::kCow:
      return "beam";
    case MountKind::kHost:
      return mount.type == "none" ? mangled("/" + mount.source) : mount.type;
    case MountKind::kPrivate:
    case MountKind::kProc:
    case MountKind::kAbsent:
      break;
  }
  return mount.type;
}

}  // namespace

std::string View::mounts_text() const {
  std::string text;
  for (const auto& mount : mounts_) {
    if (mount->kind != MountKind::kAbsent) {
      text += source_of(*mount) + " " + mangled(mount->at) + " " + mount->type + (mount->read_only ? " ro" : " rw") +
              ",nosuid,relatime 0 0\n";
    }
  }
  return text;
}

std::string View::mountinfo_text() const {
  std::string text;
  for (const auto& mount : mounts_) {
    if (mount->kind == MountKind::kAbsent) {
      continue;
    }
    struct stat status {};
    const std::string place = mount->kind == MountKind::kPrivate ? layer_path_ + "/" + mount->layer
                              : mount->kind == MountKind::kProc  ? "/proc"
                                                                 : "/" + mount->source;
    (void)::stat(place.c_str(), &status);
    const char* access = mount->read_only ? "ro" : "rw";
    text += std::to_string(mount->id) + " " + std::to_string(mount->parent_id) + " " +
            std::to_string(major(status.st_dev)) + ":" + std::to_string(minor(status.st_dev)) + " / " +
            mangled(mount->at) + " " + access + ",nosuid,relatime - " + mount->type + " " + source_of(*mount) + " " +
            access + "\n";
  }
  return text;
}

std::string View::maps_text(std::string_view host_text) const {
  std::string text;
  while (!host_text.empty()) {
    const std::size_t end = std::min(host_text.find('\n'), host_text.size());
    const std::string_view line = host_text.substr(0, end);
    host_text.remove_prefix(std::min(end + 1, host_text.size()));
    const std::size_t slash = line.find('/');
    const bool has_path =
        slash != std::string_view::npos && slash > 0 && (line[slash - 1] == ' ' || line[slash - 1] == '=');
    if (has_path && is_in_layer(line.substr(slash))) {
      text.append(line.substr(0, slash)).append(shown(line.substr(slash)));
    } else {
      text.append(line);
    }
    text += '\n';
  }
  return text;
}

}  // namespace beam::rootfs
