#include "rootfs/mount_plan.h"

#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "rootfs/host_file.h"
#include "rootfs/proc_entry.h"
#include "rootfs/secrets.h"

namespace beam::rootfs {
namespace {

bool is_directory(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

bool exists(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0;
}

// The path without symbolic links, as far as it exists; what does not is taken by its letters.
std::string canonical(const std::string& path, const std::string& directory) {
  std::string rest = path.starts_with('/') ? path : join_path(directory, path);
  std::string behind;
  for (;;) {
    char* real = ::realpath(rest.c_str(), nullptr);
    if (real != nullptr) {
      const std::string result = behind.empty() ? real : join_path(real, behind);
      std::free(real);
      return result;
    }
    while (rest.size() > 1 && rest.back() == '/') {
      rest.pop_back();
    }
    const std::size_t cut = rest.rfind('/');
    const std::string name = rest.substr(cut + 1);
    if (name != "." && !name.empty()) {
      behind = behind.empty() ? name : name + "/" + behind;
    }
    rest = cut == 0 ? "/" : rest.substr(0, cut);
  }
}

bool goes_up(const std::string& path) {
  std::string_view left = path;
  while (true) {
    const auto name = next_component(left);
    if (name.empty()) {
      return false;
    }
    if (name == "..") {
      return true;
    }
  }
}

bool is_below(const std::string& path, const std::string& directory) {
  return path == directory || directory == "/" || path.starts_with(directory + "/");
}

class Planner {
 public:
  explicit Planner(const MountOptions& options) : options_(options) {}

  Result<std::vector<MountRequest>> run() {
    defaults();
    for (const auto& place : secrets_of(options_.home)) {
      hide(canonical(place, "/"));
    }
    for (const auto& path : options_.writable) {
      BEAM_TRY_ASSIGN(const std::string at, existing("--rw", path));
      mounts_.push_back({.kind = MountKind::kHost, .at = at, .source = at});
    }
    for (const auto& bind : options_.binds) {
      BEAM_TRY(add_bind(bind));
    }
    for (const auto& path : options_.tmpfs) {
      BEAM_TRY_ASSIGN(const std::string at, destination("--tmpfs", path));
      mounts_.push_back({.kind = MountKind::kPrivate, .at = at, .mode = 01777});
    }
    for (const auto& path : options_.hidden) {
      BEAM_TRY_ASSIGN(const std::string at, destination("--hide", path));
      hide(at);
    }
    for (const auto& path : options_.shown) {
      BEAM_TRY(show(path));
    }
    for (const auto& path : options_.own) {
      mounts_.push_back({.kind = MountKind::kAbsent, .at = canonical(path, "/")});
    }
    hide_through_binds();
    std::stable_sort(mounts_.begin(), mounts_.end(), [](const MountRequest& a, const MountRequest& b) {
      return std::count(a.at.begin(), a.at.end(), '/') < std::count(b.at.begin(), b.at.end(), '/');
    });
    mounts_.insert(mounts_.begin(), {.kind = MountKind::kCow, .at = "/", .source = "/"});
    // Of several at one place, only the last is there.
    std::vector<MountRequest> kept;
    for (auto& mount : mounts_) {
      const auto same =
          std::find_if(kept.begin(), kept.end(), [&](const MountRequest& other) { return other.at == mount.at; });
      if (same == kept.end()) {
        kept.push_back(std::move(mount));
      } else {
        *same = std::move(mount);
      }
    }
    return kept;
  }

 private:
  void defaults() {
    mounts_.push_back({.kind = MountKind::kProc, .at = "/proc"});
    if (is_directory("/sys")) {
      mounts_.push_back({.kind = MountKind::kHost, .at = "/sys", .source = "/sys", .read_only = true, .type = "sysfs"});
    }
    MountRequest dev{.kind = MountKind::kPrivate, .at = "/dev", .mode = 0755, .type = "devtmpfs"};
    for (const char* name : {"null", "zero", "full", "random", "urandom", "tty", "ptmx"}) {
      const std::string device = std::string("/dev/") + name;
      if (exists(device)) {
        dev.devices.emplace_back(name, device);
      }
    }
    dev.links = {{"fd", "/proc/self/fd"},
                 {"stdin", "/proc/self/fd/0"},
                 {"stdout", "/proc/self/fd/1"},
                 {"stderr", "/proc/self/fd/2"}};
    mounts_.push_back(std::move(dev));
    if (is_directory("/dev/pts")) {
      mounts_.push_back({.kind = MountKind::kHost, .at = "/dev/pts", .source = "/dev/pts", .type = "devpts"});
    }
    if (is_directory("/dev/mqueue")) {
      mounts_.push_back({.kind = MountKind::kHost, .at = "/dev/mqueue", .source = "/dev/mqueue", .type = "mqueue"});
    }
    mounts_.push_back({.kind = MountKind::kPrivate, .at = "/dev/shm", .mode = 01777});
  }

  void hide(const std::string& at) {
    if (is_directory(at)) {
      mounts_.push_back({.kind = MountKind::kPrivate, .at = at, .mode = 0700});
    } else if (exists(at)) {
      mounts_.push_back({.kind = MountKind::kPrivate, .at = at, .mode = 0600, .is_file = true});
    } else {
      mounts_.push_back({.kind = MountKind::kAbsent, .at = at});
    }
    secrets_.push_back(at);
  }

  // What lies at it or below it is hidden no more; nor is it, where it lies below a hidden directory.
  Result<> show(const std::string& path) {
    BEAM_TRY_ASSIGN(const std::string at, existing("--show", path));
    const auto is_hidden = [this](const MountRequest& mount) {
      return std::find(secrets_.begin(), secrets_.end(), mount.at) != secrets_.end();
    };
    std::erase_if(mounts_, [&](const MountRequest& mount) { return is_hidden(mount) && is_below(mount.at, at); });
    const bool inside = std::any_of(mounts_.begin(), mounts_.end(), [&](const MountRequest& mount) {
      return mount.kind == MountKind::kPrivate && is_below(at, mount.at);
    });
    std::erase_if(secrets_, [&](const std::string& secret) { return is_below(secret, at); });
    if (inside) {
      mounts_.push_back({.kind = MountKind::kCow, .at = at, .source = at});
    }
    return success();
  }

  Result<std::string> existing(const char* option, const std::string& path) {
    if (path.empty()) {
      return Error(0, std::string(option) + " '': needs a path");
    }
    const std::string whole = path.starts_with('/') ? path : join_path(options_.directory, path);
    char* real = ::realpath(whole.c_str(), nullptr);
    if (real == nullptr) {
      return Error::from_errno(std::string(option) + " " + path).remedy("name something that is there");
    }
    std::string result(real);
    std::free(real);
    return result;
  }

  Result<std::string> destination(const char* option, const std::string& path) {
    if (path.empty() || goes_up(path)) {
      return Error(0, std::string(option) + " '" + path + "': is no place for a mount")
          .remedy("use a path without '..'");
    }
    std::string at = canonical(path, options_.directory);
    if (at == "/" || is_below(at, "/proc")) {
      return Error(0, std::string(option) + " " + path + ": " + at + " can't be replaced");
    }
    return at;
  }

  // SRC:DST[:ro]
  Result<> add_bind(const std::string& text) {
    std::string bind = text;
    bool read_only = false;
    if (bind.ends_with(":ro")) {
      read_only = true;
      bind.resize(bind.size() - 3);
    } else if (bind.ends_with(":rw")) {
      bind.resize(bind.size() - 3);
    }
    const std::size_t colon = bind.find(':');
    if (colon == std::string::npos || colon == 0 || colon + 1 == bind.size()) {
      return Error(0, "--bind '" + text + "': is not SRC:DST or SRC:DST:ro");
    }
    BEAM_TRY_ASSIGN(const std::string source, existing("--bind", bind.substr(0, colon)));
    BEAM_TRY_ASSIGN(const std::string at, destination("--bind", bind.substr(colon + 1)));
    mounts_.push_back({.kind = MountKind::kHost,
                       .at = at,
                       .source = source,
                       .read_only = read_only,
                       .is_file = !is_directory(source)});
    return success();
  }

  // A bound directory leads to what is hidden below it by another name.
  void hide_through_binds() {
    std::vector<std::string> secrets = secrets_;
    for (const auto& path : options_.own) {
      secrets.push_back(canonical(path, "/"));
    }
    const std::vector<MountRequest> mounts = mounts_;
    for (const MountRequest& mount : mounts) {
      if (mount.kind != MountKind::kHost && mount.kind != MountKind::kCow) {
        continue;
      }
      for (const std::string& secret : secrets) {
        if (mount.source != secret && is_below(secret, mount.source) && mount.at != mount.source) {
          hide(join_path(mount.at, secret.substr(mount.source == "/" ? 1 : mount.source.size() + 1)));
        }
      }
    }
  }

  const MountOptions& options_;
  std::vector<MountRequest> mounts_;
  std::vector<std::string> secrets_;
};

}  // namespace

Result<std::vector<MountRequest>> plan_mounts(const MountOptions& options) {
  return Planner(options).run();
}

}  // namespace beam::rootfs
