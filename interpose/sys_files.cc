// Descriptors that carry process ids: fcntl(2) owners and locks, ioctl_tty(2) groups.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>

#include "interpose/interface_requests.h"
#include "interpose/read_traps.h"
#include "interpose/shared.h"
#include "interpose/syscall_table.h"

namespace beam::interpose {
namespace {

// --- owners of descriptors, for SIGIO and SIGURG ---

// Positive: a process; negative: a group.
Answer set_owner(const AnswerCall& call, int fd, int type, pid_t owner) {
  f_owner_ex value{type == F_OWNER_TID ? F_OWNER_TID : type == F_OWNER_PGRP ? F_OWNER_PGRP : F_OWNER_PID, 0};
  if (owner != 0) {
    const HostPid host = call.shared.pids.to_host(VirtualPid(owner));
    if (host == HostPid()) {
      return Answer::error(ESRCH);
    }
    value.pid = host.value();
  }
  return ::fcntl(fd, F_SETOWN_EX, &value) == 0 ? Answer::result(0) : Answer::error(errno);
}

// The owner in virtual names; false with errno set when the kernel refuses.
bool get_owner(const AnswerCall& call, int fd, f_owner_ex& owner) {
  if (::fcntl(fd, F_GETOWN_EX, &owner) != 0) {
    return false;
  }
  owner.pid = call.shared.pids.to_virtual(HostPid(owner.pid)).value();
  return true;
}

pid_t signed_owner(const f_owner_ex& owner) {
  return owner.type == F_OWNER_PGRP ? -owner.pid : owner.pid;
}

struct LockQuery : CallInProgress {
  std::uint64_t lock = 0;
  void at_exit(ExitCall& call) override {
    struct flock held {};
    if (call.result() != 0 || call.memory().read(lock, &held, sizeof held) != 0 || held.l_type == F_UNLCK ||
        held.l_pid <= 0) {
      return;
    }
    held.l_pid = call.shared().pids.to_virtual(HostPid(held.l_pid)).value();
    (void)call.memory().write(lock + offsetof(struct flock, l_pid), &held.l_pid, sizeof held.l_pid);
  }
};

Answer owner_call(const AnswerCall& call, GuestFd fd, int command, std::uint64_t argument) {
  int error = 0;
  const UniqueFd copy = call.descriptor(fd, error);
  if (!copy) {
    return Answer::error(-error);
  }
  f_owner_ex owner{};
  switch (command) {
    case F_SETOWN: {
      const auto value = static_cast<pid_t>(argument);
      if (value == INT32_MIN) {
        return Answer::error(EINVAL);
      }
      return set_owner(call, copy.get(), value < 0 ? F_OWNER_PGRP : F_OWNER_PID, std::abs(value));
    }
    case F_GETOWN:
      return get_owner(call, copy.get(), owner) ? Answer::result(signed_owner(owner)) : Answer::error(errno);
    case F_SETOWN_EX:
      if (call.memory().read(argument, &owner, sizeof owner) != 0) {
        return Answer::error(EFAULT);
      }
      if (owner.type != F_OWNER_TID && owner.type != F_OWNER_PID && owner.type != F_OWNER_PGRP) {
        return Answer::error(EINVAL);
      }
      return set_owner(call, copy.get(), owner.type, owner.pid);
    default:
      if (!get_owner(call, copy.get(), owner)) {
        return Answer::error(errno);
      }
      return call.memory().write(argument, &owner, sizeof owner) == 0 ? Answer::result(0) : Answer::error(EFAULT);
  }
}

BEAM_SYSCALL_WHEN(fcntl, Strategy::kAnswer,
                  (one_of(1, {F_GETLK, F_OFD_GETLK, F_SETOWN, F_GETOWN, F_SETOWN_EX, F_GETOWN_EX})), GuestFd fd,
                  int command, std::uint64_t argument) {
  if (command == F_GETLK || command == F_OFD_GETLK) {
    // Whose lock it is depends on who asks: the caller has to.
    return Answer::escalate();
  }
  return owner_call(call, fd, command, argument);
}

BEAM_ESCALATED(fcntl, GuestFd fd, int command, std::uint64_t argument) {
  if (command == F_DUPFD || command == F_DUPFD_CLOEXEC) {
    return copy_of_trapped(call, fd);
  }
  auto progress = std::make_unique<LockQuery>();
  progress->lock = argument;
  return Rewrite::until_exit(std::move(progress));
}

// --- terminals: foreground group and session ---

struct PidInMemory : CallInProgress {
  std::uint64_t at = 0;
  void at_exit(ExitCall& call) override {
    pid_t host = 0;
    if (call.result() != 0 || call.memory().read(at, &host, sizeof host) != 0 || host <= 0) {
      return;
    }
    const pid_t shown = call.shared().pids.to_virtual(HostPid(host)).value();
    (void)call.memory().write(at, &shown, sizeof shown);
  }
};

struct GroupArgument : CallInProgress {
  void at_exit(ExitCall& /*call*/) override {}
};

constexpr std::uint64_t kFiosetown = 0x8901;  // asm-generic/sockios.h
constexpr std::uint64_t kSiocspgrp = 0x8902;
constexpr std::uint64_t kFiogetown = 0x8903;
constexpr std::uint64_t kSiocgpgrp = 0x8904;

// Only sockets know these requests (net/socket.c): 0, or an errno.
int of_a_socket(const AnswerCall& call, GuestFd fd) {
  int error = 0;
  const UniqueFd copy = call.descriptor(fd, error);
  struct stat status {};
  if (!copy || ::fstat(copy.get(), &status) != 0) {
    return copy ? errno : -error;
  }
  const bool path_only = (::fcntl(copy.get(), F_GETFL) & O_PATH) != 0;
  return path_only ? EBADF : S_ISSOCK(status.st_mode) ? 0 : ENOTTY;
}

// Requests that change a file by a descriptor for reading: of a mount view, that could be the workstation's file. By
// type: attributes (ext4, FS_IOC_*), those of xfs, and all of btrfs, where sharing blocks into a file open for writing
// is fine.
constexpr std::uint64_t kTypeMask = 0xff00;
constexpr std::uint64_t kBtrfs = 0x9400;
constexpr std::uint64_t kSocketRequests = 0x8900;
constexpr std::uint64_t kXfs = 'X' << 8;
constexpr std::uint64_t kSetFlags = 0x40086602;    // FS_IOC_SETFLAGS
constexpr std::uint64_t kSetVersion = 0x40087602;  // FS_IOC_SETVERSION
constexpr std::uint64_t kGetXattr = 0x801c581f;    // FS_IOC_FSGETXATTR
constexpr std::uint64_t kClone = 0x40049409;       // FICLONE
constexpr std::uint64_t kCloneRange = 0x4020940d;  // FICLONERANGE
constexpr std::uint64_t kDedupe = 0xc0189436;      // FIDEDUPERANGE

TrapWhen trapped_requests() {
  TrapWhen when = one_of(1, {TIOCGPGRP, TIOCSPGRP, TIOCGSID, TIOCSTI, kFiosetown, kSiocspgrp, kFiogetown, kSiocgpgrp,
                             kSetFlags, kSetVersion});
  when.push_back({is(1, kBtrfs, kTypeMask)});
  when.push_back({is(1, kXfs, kTypeMask)});
  when.push_back({is(1, kSocketRequests, kTypeMask)});
  return when;
}

bool changes_files(std::uint64_t request) {
  const std::uint64_t type = request & kTypeMask;
  return request == kSetFlags || request == kSetVersion || (type == kXfs && request != kGetXattr) ||
         (type == kBtrfs && request != kClone && request != kCloneRange && request != kDedupe);
}

BEAM_SYSCALL_WHEN(ioctl, Strategy::kAnswer, (trapped_requests()), GuestFd fd, std::uint64_t request,
                  std::uint64_t argument) {
  if (changes_files(request)) {
    return call.shared.view != nullptr ? Answer::error(ENOTTY) : Answer::pass();
  }
  if ((request & kTypeMask) == kBtrfs || (request & kTypeMask) == kXfs) {
    return Answer::pass();
  }
  const ns::NetworkSpace* network = call.shared.options.network.get();
  if ((request & kTypeMask) == kSocketRequests && request != kFiosetown && request != kSiocspgrp &&
      request != kFiogetown && request != kSiocgpgrp) {
    if (network == nullptr || !is_interface_request(request)) {
      return Answer::pass();
    }
    const int refused = of_a_socket(call, fd);
    return refused != 0 ? Answer::error(refused) : answer_interface_request(call, *network, request, argument);
  }
  switch (request) {
    case TIOCSTI:
      return Answer::error(EIO);  // as a kernel without legacy TIOCSTI answers (dev.tty.legacy_tiocsti)
    case kFiosetown:
    case kSiocspgrp: {
      if (const int refused = of_a_socket(call, fd); refused != 0) {
        return Answer::error(refused);
      }
      pid_t owner = 0;
      if (call.memory().read(argument, &owner, sizeof owner) != 0) {
        return Answer::error(EFAULT);
      }
      return owner_call(call, fd, F_SETOWN, static_cast<std::uint64_t>(static_cast<std::int64_t>(owner)));
    }
    case kFiogetown:
    case kSiocgpgrp: {
      if (const int refused = of_a_socket(call, fd); refused != 0) {
        return Answer::error(refused);
      }
      int error = 0;
      const UniqueFd copy = call.descriptor(fd, error);
      f_owner_ex owner{};
      if (!copy || !get_owner(call, copy.get(), owner)) {
        return Answer::error(copy ? errno : -error);
      }
      const pid_t shown = signed_owner(owner);
      return call.memory().write(argument, &shown, sizeof shown) == 0 ? Answer::result(0) : Answer::error(EFAULT);
    }
    default:
      return Answer::escalate();  // the kernel judges by the caller's own controlling terminal
  }
}

BEAM_ESCALATED(ioctl, GuestFd fd, std::uint64_t request, std::uint64_t argument) {
  (void)fd;
  if (request != TIOCSPGRP) {
    auto progress = std::make_unique<PidInMemory>();
    progress->at = argument;
    return Rewrite::until_exit(std::move(progress));
  }
  pid_t group = 0;
  if (call.memory().read(argument, &group, sizeof group) != 0) {
    return Rewrite::pass();
  }
  auto progress = std::make_unique<GroupArgument>();
  const HostPid host = group > 0 ? call.shared().pids.to_host(VirtualPid(group)) : HostPid(group);
  // A group that does not exist is still refused by the kernel, which checks the terminal first: 0 names none.
  const pid_t named = host.value() != 0 ? host.value() : INT32_MAX;
  const std::uint64_t copy = call.put(*progress, &named, sizeof named);
  if (copy == 0) {
    return Rewrite::error(ENOMEM);
  }
  call.set_arg(*progress, 2, copy);
  return Rewrite::until_exit(std::move(progress));
}

}  // namespace
}  // namespace beam::interpose
