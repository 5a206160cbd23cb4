// Descriptor tables, and the open file descriptions behind them.
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <string_view>
#include <utility>

#include "interpose/call.h"
#include "interpose/read_traps.h"
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
    UniqueFd copy(static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd.get(), fd, 0)));
    auto object =
        copy ? object_of(tid, vpid, fd, std::move(copy)) : Result<std::uint32_t>(Error::from_errno("copy it"));
    if (!object.ok()) {
      return std::move(object).error().context("descriptor " + std::to_string(fd));
    }
    if (*object == 0) {
      continue;
    }
    BEAM_TRY_ASSIGN(const std::string info, read_proc_file(tid, "fdinfo/" + std::to_string(fd)));
    const auto flags = std::strtoul(std::string(info_value(info, "flags")).c_str(), nullptr, 8);
    state.descriptors.push_back({fd, *object, (flags & O_CLOEXEC) != 0, {}});
    locks(vpid, fd, info, state.descriptors.back().locks);
  }
  return success();
}

// Lines as /proc/locks has them (proc(5)): those of this description and this process.
//   lock:   1: POSIX  ADVISORY  WRITE 4711 08:01:1234 0 EOF
void Collector::locks(VirtualPid vpid, int fd, const std::string& info, std::vector<FileLock>& locks) {
  const auto flags = std::strtoul(std::string(info_value(info, "flags")).c_str(), nullptr, 8);
  std::istringstream lines(info);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("lock:")) {
      continue;
    }
    std::istringstream words(line.substr(line.find(':') + 1));
    std::string number, type, state, access, pid, inode, start, end;
    words >> number >> type >> state >> access >> pid >> inode >> start >> end;
    FileLock lock;
    lock.exclusive = access == "WRITE";
    lock.start = std::strtoll(start.c_str(), nullptr, 10);
    lock.length = end == "EOF" ? 0 : std::strtoll(end.c_str(), nullptr, 10) - lock.start + 1;
    if (type == "POSIX") {
      lock.kind = LockKind::kPosix;
    } else if (type == "OFDLCK") {
      lock.kind = LockKind::kDescription;
    } else if (type == "FLOCK") {
      lock.kind = LockKind::kWhole;
    } else if (type == "LEASE" && state == "ACTIVE") {
      lock.kind = LockKind::kLease;
    } else if (type == "LEASE" && state == "BREAKING") {
      // What it was is not told any more (fs/locks.c, lock_get_status). One of reading needs a descriptor that only
      // reads.
      lock.kind = LockKind::kLease;
      lock.breaks_to = access == "READ" ? F_RDLCK : F_UNLCK;
      lock.exclusive = access == "READ" || (flags & O_ACCMODE) != O_RDONLY;
    } else {
      obstacle(vpid, "fd " + std::to_string(fd), "a lock of the kind " + type + " " + state + " can't be frozen");
      continue;
    }
    locks.push_back(lock);
  }
}

Result<std::uint32_t> Collector::object_of(HostPid tid, VirtualPid vpid, int fd, UniqueFd copy) {
  OpenFile file;
  file.tid = tid;
  file.vpid = vpid;
  file.fd = fd;
  file.copy = std::move(copy);
  if (::fstat(file.copy.get(), &file.info) != 0) {
    return Error::from_errno("stat it");
  }
  // The same description may be here already, by dup, fork or SCM_RIGHTS. Only those of the same file can be it; they
  // are kept in the kernel's order of them (kcmp(2)), as all of eventfds and their like are of one file.
  auto& known = known_files_[{file.info.st_dev, file.info.st_ino}];
  auto place = known.begin();
  for (auto end = known.end(); place != end;) {
    const auto middle = place + (end - place) / 2;
    const long order = ::syscall(SYS_kcmp, tid.value(), middle->tid.value(), KCMP_FILE, fd, middle->fd);
    if (order == 0) {
      return middle->object;
    }
    if (order != 1 && order != 2) {
      return order < 0 ? Error::from_errno("compare it with others") : Error(EIO, "compare it with others");
    }
    (order == 1 ? end : place) = order == 1 ? middle : middle + 1;
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
    known.insert(place, {tid, fd, 0});
    obstacle(vpid, "fd " + std::to_string(fd) + " (" + file.link + ")", state.error().what());
    return 0;
  }
  const auto id = static_cast<std::uint32_t>(state_.objects.size() + 1);
  known.insert(place, {tid, fd, id});
  ObjectRecord record;
  record.id = id;
  record.kind = (*kind)->name();
  record.state = std::move(*state);
  f_owner_ex owner{};
  if ((file.flags & O_PATH) == 0 && ::fcntl(file.copy.get(), F_GETOWN_EX, &owner) == 0) {
    const VirtualPid known_as = sandbox_.shared().pids.to_virtual(HostPid(owner.pid));
    record.owner_type = owner.type;
    record.owner = owner.pid != 0 ? known_as.value() : 0;
    record.owner_signal = std::max(::fcntl(file.copy.get(), F_GETSIG), 0);
    record.asynchronous = (file.flags & O_ASYNC) != 0;
  }
  state_.objects.push_back(std::move(record));
  if ((*kind)->relates()) {
    unrelated_.emplace(std::pair((*kind)->relate_order(), state_.objects.size() - 1),
                       Unrelated{*kind, std::move(file)});
  }
  return id;
}

void Collector::note_unread_events() {
  for (const LiveProcess& live : live_processes()) {
    const HostPid tid = live.tasks.front()->tid;
    const std::string directory = "/proc/" + std::to_string(tid.value()) + "/fd";
    std::error_code fault;
    for (const auto& entry : std::filesystem::directory_iterator(directory, fault)) {
      std::array<char, 32> link{};
      const ssize_t size = ::readlink(entry.path().c_str(), link.data(), link.size());
      const std::string_view name(link.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
      if (name != "anon_inode:inotify" && name != "anon_inode:[inotify]") {
        continue;
      }
      const int fd = std::atoi(entry.path().filename().c_str());
      int error = 0;
      const UniqueFd copy = interpose::copy_descriptor(tid, *live.process, fd, error);
      int unread = 0;
      if (copy && ::ioctl(copy.get(), FIONREAD, &unread) == 0) {
        context_.unread_events.push_back({tid, fd, unread});
      }
    }
  }
}

void Collector::before_end() {
  context_.at_resume.clear();
  for (const auto& act : context_.at_end) {
    act();
  }
}

void Collector::before_resume() {
  for (const auto& act : std::exchange(context_.at_resume, {})) {
    act();
  }
}

void Collector::trap_reads(HostPid tid, int fd) {
  std::uint32_t object = 0;
  for (const auto& [inode, files] : known_files_) {
    for (const KnownFile& file : files) {
      object = file.tid == tid && file.fd == fd ? file.object : object;
    }
  }
  for (const LiveProcess& live : live_processes()) {
    const auto process = std::find_if(state_.processes.begin(), state_.processes.end(), [&](const ProcessState& state) {
      return state.vpid == live.process->vpid.value();
    });
    if (process == state_.processes.end() || live.tasks.empty()) {
      continue;
    }
    for (const Descriptor& descriptor : process->descriptors) {
      if (descriptor.object == object && object != 0) {
        interpose::StoppedTracee tracee(live.tasks.front()->tid);
        interpose::trap_reads(*live.tasks.front(), tracee, descriptor.fd);
        tracee.flush_regs();
      }
    }
  }
}

Result<> Collector::relate_objects() {
  context_.trap_reads = [this](HostPid tid, int fd) { trap_reads(tid, fd); };
  context_.known = [this](dev_t device, ino_t inode) -> const std::vector<KnownFile>& {
    return known_files_[{device, inode}];
  };
  context_.object_of = [this](VirtualPid vpid, UniqueFd fd) -> Result<std::uint32_t> {
    // The collection needs a copy of it, and a number that stays for comparing it with others.
    UniqueFd copy(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
    if (!copy) {
      return Error::from_errno("copy a descriptor in flight");
    }
    in_flight_.push_back(std::move(fd));
    return object_of(HostPid(::getpid()), vpid, in_flight_.back().get(), std::move(copy));
  };
  // Relating may bring new objects, which then are to be related themselves.
  while (!unrelated_.empty()) {
    const auto next = unrelated_.extract(unrelated_.begin());
    const std::size_t index = next.key().second;
    const Unrelated& one = next.mapped();
    std::string state = state_.objects[index].state;
    auto related = one.kind->relate(context_, one.file, state);
    if (!related.ok() && related.error().code() != kObstacle) {
      return std::move(related).error().context("descriptor " + std::to_string(one.file.fd) + " (" + one.file.link +
                                                ")");
    }
    if (!related.ok()) {
      obstacle(one.file.vpid, "fd " + std::to_string(one.file.fd) + " (" + one.file.link + ")", related.error().what());
    }
    state_.objects[index].state = std::move(state);
  }
  return success();
}

int Collector::readable(dev_t device, ino_t inode) const {
  const auto known = known_files_.find({device, inode});
  if (known == known_files_.end()) {
    return -1;
  }
  for (const KnownFile& file : known->second) {
    const interpose::Process* process = nullptr;
    for (const auto& [host, one] : sandbox_.shared().tasks.processes()) {
      process = host == file.tid ? one.get() : process;
    }
    int error = 0;
    UniqueFd copy;
    if (process != nullptr) {
      copy = interpose::copy_descriptor(file.tid, *process, file.fd, error);
    }
    const int flags = copy ? ::fcntl(copy.get(), F_GETFL) : -1;
    if (flags >= 0 && (flags & (O_PATH | O_DIRECT)) == 0 && (flags & O_ACCMODE) != O_WRONLY) {
      return copy.release();
    }
  }
  return -1;
}

}  // namespace beam::migrate
