// Descriptor tables, and the open file descriptions behind them.
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "migrate/collector.h"

namespace beam::migrate {
namespace {

#ifndef PIDFD_THREAD
constexpr unsigned PIDFD_THREAD = O_EXCL;
#endif

UniqueFd open_pidfd(HostPid tid) {
  // Of the thread, as the group's leader may be a zombie; without the flag (before 6.9) only a leader can be named.
  UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, tid.value(), PIDFD_THREAD)));
  if (!pidfd && errno == EINVAL) {
    pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, tid.value(), 0)));
  }
  return pidfd;
}

}  // namespace

Result<> Collector::descriptors(HostPid tid, VirtualPid vpid, ProcessState& state) {
  const UniqueFd pidfd = open_pidfd(tid);
  if (!pidfd) {
    return Error::from_errno("name process " + std::to_string(vpid.value()));
  }
  std::vector<int> numbers;
  std::error_code fault;
  const std::string directory = "/proc/" + std::to_string(tid.value()) + "/fd";
  for (const auto& entry : std::filesystem::directory_iterator(directory, fault)) {
    numbers.push_back(std::atoi(entry.path().filename().c_str()));
  }
  if (fault) {
    return Error(fault.value(), "list " + directory);
  }
  std::sort(numbers.begin(), numbers.end());
  for (const int fd : numbers) {
    auto object = object_of(tid, vpid, fd, pidfd.get());
    if (!object.ok() && object.error().code() == kObstacle) {
      continue;  // noted
    }
    if (!object.ok()) {
      return std::move(object).error().context("descriptor " + std::to_string(fd));
    }
    BEAM_TRY_ASSIGN(const std::string info, read_proc_file(tid, "fdinfo/" + std::to_string(fd)));
    const auto flags = std::strtoul(std::string(info_value(info, "flags")).c_str(), nullptr, 8);
    state.descriptors.push_back({fd, *object, (flags & O_CLOEXEC) != 0});
    if (!info_value(info, "lock").empty()) {
      obstacle(vpid, "fd " + std::to_string(fd), "file locks can't be frozen yet");
    }
  }
  return success();
}

Result<std::uint32_t> Collector::object_of(HostPid tid, VirtualPid vpid, int fd, int pidfd) {
  OpenFile file;
  file.tid = tid;
  file.vpid = vpid;
  file.fd = fd;
  file.copy.reset(static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd, fd, 0)));
  if (!file.copy || ::fstat(file.copy.get(), &file.info) != 0) {
    return Error::from_errno("copy it");
  }
  // The same description may be here already, by dup, fork or SCM_RIGHTS. Only those of the same file can be it.
  auto& known = known_files_[{file.info.st_dev, file.info.st_ino}];
  for (const KnownFile& other : known) {
    if (::syscall(SYS_kcmp, tid.value(), other.tid.value(), KCMP_FILE, fd, other.fd) == 0) {
      if (other.object == 0) {
        return Error(kObstacle, "");
      }
      return other.object;
    }
  }
  BEAM_TRY_ASSIGN(file.link, read_proc_link(tid, "fd/" + std::to_string(fd)));
  BEAM_TRY_ASSIGN(file.fdinfo, read_proc_file(tid, "fdinfo/" + std::to_string(fd)));
  file.flags = ::fcntl(file.copy.get(), F_GETFL);
  file.offset = std::strtoll(std::string(info_value(file.fdinfo, "pos")).c_str(), nullptr, 10);

  const auto& kinds = all_kinds();
  const auto kind = std::find_if(kinds.begin(), kinds.end(),
                                 [&](const ObjectKind* candidate) { return candidate->recognises(context_, file); });
  auto state = kind != kinds.end() ? (*kind)->collect(context_, file)
                                   : Result<std::string>(Error(kObstacle, "this kind of object can't be frozen"));
  if (!state.ok()) {
    if (state.error().code() != kObstacle) {
      return std::move(state).error();
    }
    known.push_back({tid, fd, 0});
    obstacle(vpid, "fd " + std::to_string(fd) + " (" + file.link + ")", state.error().what());
    return std::move(state).error();
  }
  const auto id = static_cast<std::uint32_t>(state_.objects.size() + 1);
  known.push_back({tid, fd, id});
  state_.objects.push_back({id, std::string((*kind)->name()), std::move(*state)});
  return id;
}

}  // namespace beam::migrate
