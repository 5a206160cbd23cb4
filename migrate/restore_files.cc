// Descriptors: handed over to the process that is to have them, and put in their places.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <set>

#include "interpose/read_traps.h"
#include "migrate/image_path.h"
#include "migrate/nameless.h"
#include "migrate/restorer.h"

namespace beam::migrate {
namespace {

constexpr std::size_t kMostInOneMessage = 250;  // SCM_MAX_FD is 253

// What a stub receives with, laid out in its scratch memory at one address.
struct RemoteMessage {
  msghdr header;
  iovec vector;
  char byte;
  alignas(cmsghdr) char control[CMSG_SPACE(kMostInOneMessage * sizeof(int))];
};

Result<> send_descriptors(int socket, const int* fds, std::size_t count) {
  alignas(cmsghdr) char control[CMSG_SPACE(kMostInOneMessage * sizeof(int))] = {};
  char byte = 0;
  iovec vector{&byte, 1};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = CMSG_SPACE(count * sizeof(int));
  cmsghdr* head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(count * sizeof(int));
  std::memcpy(CMSG_DATA(head), fds, count * sizeof(int));
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(socket, &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent == 1 ? success() : Result<>(Error::from_errno("hand descriptors over"));
}

// Begins to break a lease anew, as whoever opens the file does. Its holder has had its signal already.
Result<> break_lease(Remote& remote, int descriptor, std::int32_t breaks_to) {
  BEAM_TRY(remote.call("keep a lease from signalling", SYS_fcntl, static_cast<std::uint64_t>(descriptor), F_SETOWN, 0));
  const std::string path = "/proc/" + std::to_string(remote.task().tid.value()) + "/fd/" + std::to_string(descriptor);
  const UniqueFd opened(
      ::open(path.c_str(), (breaks_to == F_RDLCK ? O_RDONLY : O_WRONLY) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  return !opened && errno == EWOULDBLOCK ? success() : Result<>(Error(opened ? EIO : errno, "break a lease again"));
}

}  // namespace

Result<> Restorer::hand_over(Remote& remote, const std::vector<int>& fds, std::vector<int>& numbers) {
  numbers.clear();
  for (std::size_t done = 0; done < fds.size();) {
    const std::size_t count = std::min(fds.size() - done, kMostInOneMessage);
    BEAM_TRY(send_descriptors(control_.get(), fds.data() + done, count));
    RemoteMessage message{};
    const std::uint64_t at = remote.scratch();
    const auto pointer = [at](std::size_t offset) { return reinterpret_cast<void*>(at + offset); };  // NOLINT: remote
    message.vector = {pointer(offsetof(RemoteMessage, byte)), 1};
    message.header.msg_iov = static_cast<iovec*>(pointer(offsetof(RemoteMessage, vector)));
    message.header.msg_iovlen = 1;
    message.header.msg_control = pointer(offsetof(RemoteMessage, control));
    message.header.msg_controllen = sizeof message.control;
    BEAM_TRY(remote.put(message));
    BEAM_TRY(remote.call("receive descriptors", SYS_recvmsg, static_cast<std::uint64_t>(control_fd_), at, 0));
    BEAM_TRY_ASSIGN(message, remote.get<RemoteMessage>());
    cmsghdr head{};
    std::memcpy(&head, message.control, sizeof head);
    if (head.cmsg_len != CMSG_LEN(count * sizeof(int)) || head.cmsg_type != SCM_RIGHTS) {
      return Error(EMFILE, "hand descriptors over to process " + std::to_string(remote.task().process->vpid.value()))
          .remedy("raise the hard limit of open files (ulimit -Hn)");
    }
    const std::size_t before = numbers.size();
    numbers.resize(before + count);
    std::memcpy(numbers.data() + before, message.control + CMSG_LEN(0), count * sizeof(int));
    done += count;
  }
  return success();
}

// The descriptors arrive at the lowest free numbers, in the order in which they were sent. Sent by rising target, none
// arrives above its target; moved from the last to the first, none lands on one that has still to move. Those with the
// highest targets go first, so that it holds for each message.
Result<> Restorer::fill_descriptors(Remote& remote, const ProcessState& process) {
  BEAM_TRY(close_all_but_control(remote));
  std::vector<Descriptor> wanted = process.descriptors;
  std::sort(wanted.begin(), wanted.end(), [](const Descriptor& a, const Descriptor& b) { return a.fd < b.fd; });
  while (!wanted.empty()) {
    const std::size_t count = std::min(wanted.size(), kMostInOneMessage);
    const std::vector<Descriptor> batch(wanted.end() - static_cast<std::ptrdiff_t>(count), wanted.end());
    wanted.resize(wanted.size() - count);
    std::vector<int> fds;
    for (const Descriptor& descriptor : batch) {
      fds.push_back(objects_.at(descriptor.object).get());
    }
    std::vector<int> numbers;
    BEAM_TRY(hand_over(remote, fds, numbers));
    for (std::size_t i = count; i-- > 0;) {
      const auto from = static_cast<std::uint64_t>(numbers[i]);
      const auto to = static_cast<std::uint64_t>(batch[i].fd);
      if (from != to) {
        BEAM_TRY(remote.call("place a descriptor", SYS_dup3, from, to, batch[i].close_on_exec ? O_CLOEXEC : 0));
        BEAM_TRY(remote.call("close", SYS_close, from));
      } else if (batch[i].close_on_exec) {
        BEAM_TRY(remote.call("mark a descriptor", SYS_fcntl, to, F_SETFD, FD_CLOEXEC));
      }
    }
  }
  return success();
}

Result<> Restorer::enter_working_directory(Remote& remote, const ProcessState& process) {
  if (process.working_directory_deleted) {
    BEAM_TRY_ASSIGN(const UniqueFd directory,
                    nameless_directory(from_image_path(tracer_.shared(), process.working_directory), 0755));
    std::vector<int> numbers;
    BEAM_TRY(hand_over(remote, {directory.get()}, numbers));
    const auto there = static_cast<std::uint64_t>(numbers.front());
    BEAM_TRY(remote.call("enter the removed working directory", SYS_fchdir, there));
    BEAM_TRY(remote.call("close", SYS_close, there));
    return success();
  }
  std::string path = from_image_path(tracer_.shared(), process.working_directory);
  if (path == "/proc" || path.starts_with("/proc/")) {
    tracer_.shared().proc->directory_is_held();
    const auto id = static_cast<std::int32_t>(std::strtol(path.c_str() + sizeof "/proc", nullptr, 10));
    const HostPid host = id > 0 ? tracer_.shared().pids.to_host(VirtualPid(id)) : HostPid();
    const auto rest = path.find('/', sizeof "/proc");
    if (host != HostPid()) {
      path = "/proc/" + std::to_string(host.value()) + (rest == std::string::npos ? "" : path.substr(rest));
    }
  }
  BEAM_TRY_ASSIGN(const auto directory, remote.put_bytes(path.c_str(), path.size() + 1));
  auto entered = remote.call("enter the working directory", SYS_chdir, directory);
  return entered.ok() ? success() : Result<>(std::move(entered).error().context(process.working_directory));
}

// Beam's own filters by descriptor number went with the old processes.
Result<> Restorer::trap_reads(const ProcessState& process) {
  std::set<std::uint32_t> trapped;
  for (const ObjectRecord& object : state_.objects) {
    if (find_kind(object.kind)->traps_reads(object.state)) {
      trapped.insert(object.id);
    }
  }
  interpose::Task* task = task_of(VirtualPid(process.vpid));
  for (const Descriptor& descriptor : process.descriptors) {
    if (task != nullptr && trapped.contains(descriptor.object)) {
      interpose::StoppedTracee tracee(task->tid);
      interpose::trap_reads(*task, tracee, descriptor.fd);
      tracee.flush_regs();
    }
  }
  return success();
}

// By the processes that hold them, so that /proc/locks and F_GETLK name those. Descriptors are in place: to close one
// would end the process's POSIX locks on its file.
Result<> Restorer::set_locks(const ProcessState& process) {
  if (std::all_of(process.descriptors.begin(), process.descriptors.end(),
                  [](const Descriptor& descriptor) { return descriptor.locks.empty(); })) {
    return success();
  }
  interpose::Task* task = task_of(VirtualPid(process.vpid));
  if (task == nullptr) {
    return success();
  }
  Remote remote(*task);
  BEAM_TRY(remote.map_scratch(4096));
  Result<> set = success();
  for (const Descriptor& descriptor : process.descriptors) {
    for (const FileLock& lock : descriptor.locks) {
      if (set.ok()) {
        set = set_lock(remote, descriptor.fd, lock);
      }
    }
  }
  BEAM_TRY(remote.unmap_scratch());
  return set;
}

Result<> Restorer::set_lock(Remote& remote, int descriptor, const FileLock& lock) {
  const auto fd = static_cast<std::uint64_t>(descriptor);
  const std::string what = "lock the file of descriptor " + std::to_string(descriptor) + " again";
  std::int64_t result = 0;
  switch (lock.kind) {
    case LockKind::kWhole: {
      BEAM_TRY_ASSIGN(result, remote.raw_call(SYS_flock, fd, (lock.exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB));
      break;
    }
    case LockKind::kLease: {
      BEAM_TRY_ASSIGN(result, remote.raw_call(SYS_fcntl, fd, F_SETLEASE, lock.exclusive ? F_WRLCK : F_RDLCK));
      if (result >= 0 && lock.breaks_to) {
        BEAM_TRY(break_lease(remote, descriptor, *lock.breaks_to));
      }
      break;
    }
    case LockKind::kPosix:
    case LockKind::kDescription: {
      struct flock range {};
      range.l_type = lock.exclusive ? F_WRLCK : F_RDLCK;
      range.l_whence = SEEK_SET;
      range.l_start = lock.start;
      range.l_len = lock.length;
      BEAM_TRY_ASSIGN(const std::uint64_t at, remote.put(range));
      BEAM_TRY_ASSIGN(result,
                      remote.raw_call(SYS_fcntl, fd, lock.kind == LockKind::kPosix ? F_SETLK : F_OFD_SETLK, at));
      break;
    }
  }
  if (result < 0) {
    Error error(static_cast<int>(-result), what);
    return result == -EAGAIN || result == -EACCES
               ? std::move(error).remedy("somebody else has locked it since the freeze")
               : std::move(error);
  }
  return success();
}

}  // namespace beam::migrate
