#include "interpose/view_call.h"

#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <vector>

#include "base/log.h"
#include "rootfs/proc_entry.h"

namespace beam::interpose {
namespace {

struct FileIds {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;
};

// "Uid: real effective saved file-system", and so for groups (proc(5)).
bool read_ids(HostPid tid, ActAs::Ids which, FileIds& ids) {
  std::ifstream status("/proc/" + std::to_string(tid.value()) + "/status");
  std::string line;
  bool found = false;
  while (std::getline(status, line)) {
    std::istringstream words(line);
    std::string name;
    words >> name;
    unsigned value = 0;
    if (name == "Uid:" || name == "Gid:") {
      for (int i = 0; i < (which == ActAs::Ids::kReal ? 1 : 4); ++i) {
        words >> value;
      }
      (name == "Uid:" ? ids.uid : ids.gid) = value;
      found = true;
    } else if (name == "Groups:") {
      while (words >> value) {
        ids.groups.push_back(value);
      }
    }
  }
  return found;
}

int read_umask(HostPid tid) {
  std::ifstream status("/proc/" + std::to_string(tid.value()) + "/status");
  std::string line;
  while (std::getline(status, line)) {
    if (line.starts_with("Umask:")) {
      return static_cast<int>(std::strtol(line.c_str() + 6, nullptr, 8));
    }
  }
  return -1;
}

}  // namespace

int ViewPath::read(GuestFd dir, GuestPath path, bool empty_is_descriptor) {
  std::string text;
  if (path.address() == 0 && empty_is_descriptor) {
    return set(dir, {}, true);  // Linux 6.11
  }
  if (const int error = GuestMemory(caller_.tid).read_string(path.address(), text, PATH_MAX); error != 0) {
    return error;
  }
  return set(dir, std::move(text), empty_is_descriptor);
}

int ViewPath::set(GuestFd dir, std::string path, bool empty_is_descriptor) {
  if (path.empty() && empty_is_descriptor) {
    if (dir.value() != AT_FDCWD) {
      return set_descriptor(dir);
    }
    path = ".";
  }
  where_.path = std::move(path);
  where_.root = caller_.process->view_root();
  if (where_.path.starts_with('/') || where_.path.empty()) {
    return 0;
  }
  const auto host = ProcView::host_path_of(caller_, dir);
  if (!host) {
    return dir.value() == AT_FDCWD ? ENOENT : EBADF;
  }
  if (!host->starts_with('/')) {
    return ENOTDIR;
  }
  const std::string name = shared_.proc->proc_name(*host);
  constexpr std::string_view kProc = "/proc/";
  if (name == *host && name.starts_with(kProc) && std::isdigit(static_cast<unsigned char>(name[kProc.size()])) != 0) {
    return ESRCH;  // of a process that has ended, or of one outside
  }
  where_.base = shared_.view->view_path(name).value_or(std::string());
  if (where_.base.empty()) {
    start_at_removed(name, dir);
  }
  return 0;
}

// In a directory that has been removed there is itself, and what is above it still; nothing else (path_resolution(7)).
void ViewPath::start_at_removed(const std::string& host, GuestFd dir) {
  std::string at = shared_.view->former_path(host).value_or(std::string());
  bool above = false;
  std::string_view rest = where_.path;
  while (true) {
    std::string_view left = rest;
    const std::string_view name = rootfs::next_component(left);
    if (name != "." && name != "..") {
      break;
    }
    if (name == "..") {
      at = at.substr(0, std::max<std::size_t>(at.rfind('/') == std::string::npos ? 0 : at.rfind('/'), 1));
      above = true;
    }
    rest = left;
  }
  const bool itself = rest.find_first_not_of('/') == std::string_view::npos;
  if (above && !at.empty()) {
    where_.base = at;
    where_.path = itself ? "." : std::string(rest.substr(rest.find_first_not_of('/')));
  } else if (itself) {
    where_.root = "/";
    where_.path = dir.value() == AT_FDCWD ? "/proc/self/cwd/" : "/proc/self/fd/" + std::to_string(dir.value()) + "/";
  }
}

int ViewPath::set_descriptor(GuestFd fd) {
  if (fd.value() < 0 || !ProcView::host_path_of(caller_, fd)) {
    return EBADF;
  }
  is_descriptor_ = true;
  where_.root = "/";
  where_.path = "/proc/self/fd/" + std::to_string(fd.value());
  return 0;
}

rootfs::ProcNode ViewPath::walk(std::string_view rest, bool follow) const {
  const rootfs::ProcTaskId id{caller_.tid, caller_.process->host, caller_.vtid, caller_.process->vpid};
  const std::string path = (rest.empty() || rest.front() == '/' ? "" : "/") + std::string(rest);
  return rootfs::ProcWalk(*shared_.proc, id).walk("/proc", false, path, follow);
}

std::optional<rootfs::ProcNode> host_file(const AnswerCall& call, const rootfs::Found& found) {
  const bool workstations = found.kind == rootfs::Found::Kind::kFile && S_ISREG(found.status.st_mode) &&
                            found.spot.space != rootfs::Spot::Space::kLayer;
  return workstations ? call.shared.proc->look_at_host_file(call.shared.view->host_path(found.spot)) : std::nullopt;
}

bool is_own_list(const Caller& caller, const std::string& host) {
  const std::string own = "/proc/" + std::to_string(caller.process->host.value());
  return host == own + "/fd" || host == own + "/map_files";
}

void prepare_to_act() {
  if (::unshare(CLONE_FS) != 0) {
    BEAM_LOG_ERROR(kInterpose, "a umask of the thread's own: errno {}", errno);
  }
  ::umask(0);
}

ActAs::ActAs(const Caller& caller, bool makes_files, Ids which) {
  if (makes_files) {
    int mask = caller.process->umask.load(std::memory_order_relaxed);
    if (mask < 0) {
      mask = read_umask(caller.tid);
      caller.process->umask.store(mask, std::memory_order_relaxed);
    }
    ::umask(mask < 0 ? 077 : static_cast<mode_t>(mask));
    umask_changed_ = true;
  }
  if (!caller.process->credentials_changed || ::geteuid() != 0) {
    return;
  }
  FileIds ids;
  if (!read_ids(caller.tid, which, ids)) {
    return;
  }
  // Of this thread alone: the C library's wrappers would change all of them.
  ::syscall(SYS_setgroups, ids.groups.size(), ids.groups.data());
  ::syscall(SYS_setfsgid, ids.gid);
  ::syscall(SYS_setfsuid, ids.uid);
  ids_changed_ = true;
}

ActAs::~ActAs() {
  const int kept = errno;
  if (ids_changed_) {
    ::syscall(SYS_setfsuid, ::geteuid());
    ::syscall(SYS_setfsgid, ::getegid());
    static const std::vector<gid_t> own = [] {
      std::vector<gid_t> groups(static_cast<std::size_t>(std::max(::getgroups(0, nullptr), 0)));
      (void)::getgroups(static_cast<int>(groups.size()), groups.data());
      return groups;
    }();
    ::syscall(SYS_setgroups, own.size(), own.data());
  }
  if (umask_changed_) {
    ::umask(0);
  }
  errno = kept;
}

Rewrite with_view_path(RewriteCall& call, const std::string& host, std::size_t index,
                       std::unique_ptr<CallInProgress> progress) {
  if (host.size() >= PATH_MAX) {
    return Rewrite::error(ENAMETOOLONG);
  }
  const std::uint64_t place = call.put(*progress, host.c_str(), host.size() + 1);
  if (place == 0) {
    return Rewrite::error(ENOMEM);
  }
  call.set_arg(*progress, index, place);
  return Rewrite::until_exit(std::move(progress));
}

}  // namespace beam::interpose
