#include "interpose/interrupted.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <optional>
#include <string>

#include "interpose/syscall_table.h"
#include "interpose/view_call.h"

namespace beam::interpose {
namespace {

constexpr auto kRestartSystem = static_cast<std::uint64_t>(-512);  // ERESTARTSYS, include/linux/errno.h

// Opening a FIFO or a device may wait, and then a signal interrupts it by right.
bool open_may_wait(Shared& shared, const Task& task, const StoppedTracee& tracee, int dir, std::uint64_t address) {
  std::string path;
  if (tracee.memory().read_string(address, path, 4096) != 0) {
    return false;
  }
  struct stat status {};
  if (shared.view != nullptr) {
    const Caller caller{task.tid, task.vtid, task.process};
    ViewPath argument(shared, caller);
    rootfs::Found found;
    if (argument.set(GuestFd(dir), path) != 0 || shared.view->find(argument.where(), rootfs::kFollow, found) != 0 ||
        found.kind == rootfs::Found::Kind::kProc) {
      return false;
    }
    status = found.status;
  } else {
    if (path.empty() || path.front() != '/') {
      const std::string process = "/proc/" + std::to_string(tracee.tid().value());
      path = (dir == AT_FDCWD ? process + "/cwd/" : process + "/fd/" + std::to_string(dir) + "/") + path;
    }
    if (::stat(path.c_str(), &status) != 0) {
      return false;
    }
  }
  return !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode);
}

// Whether a call on a socket would have to wait for `event`; nothing when it never waits.
std::optional<bool> socket_waits(const Task& task, int fd, std::uint64_t flags, short event) {
  int error = 0;
  const UniqueFd copy = copy_descriptor(task.tid, *task.process, fd, error);
  if (!copy || (flags & MSG_DONTWAIT) != 0 || (::fcntl(copy.get(), F_GETFL) & O_NONBLOCK) != 0) {
    return std::nullopt;
  }
  pollfd state{copy.get(), event, 0};
  return ::poll(&state, 1, 0) == 0;
}

std::optional<bool> socket_waits(const Task& task, const user_regs_struct& regs) {
  const int fd = static_cast<int>(regs.rdi);
  switch (regs.orig_rax) {
    case SYS_accept:
    case SYS_accept4:
      return socket_waits(task, fd, 0, POLLIN);
    case SYS_recvfrom:
      return socket_waits(task, fd, regs.r10, POLLIN);
    case SYS_sendto:
    case SYS_sendmmsg:
      return socket_waits(task, fd, regs.r10, POLLOUT);
    case SYS_sendmsg:
      return socket_waits(task, fd, regs.rdx, POLLOUT);
    default:
      return std::nullopt;
  }
}

bool may_wait(Shared& shared, const Task& task, const StoppedTracee& tracee, const user_regs_struct& regs) {
  switch (regs.orig_rax) {
    case SYS_open:
      return open_may_wait(shared, task, tracee, AT_FDCWD, regs.rdi);
    case SYS_openat:
    case SYS_openat2:
      return open_may_wait(shared, task, tracee, static_cast<int>(regs.rdi), regs.rsi);
    case SYS_connect:
      return true;
    case SYS_ioctl:
      return regs.rsi == TIOCSPGRP;  // from the background: the terminal driver sends the signal itself
    default:
      return false;
  }
}

}  // namespace

Interrupted interrupted_unanswered(Shared& shared, const Task& task, StoppedTracee& tracee) {
  const user_regs_struct* regs = tracee.regs();
  if (regs == nullptr || regs->rax != kRestartSystem) {
    return Interrupted::kAsNatively;
  }
  const SyscallDeclaration* call = SyscallTable::instance().find(static_cast<long>(regs->orig_rax));
  if (call == nullptr || call->strategy != Strategy::kAnswer || (call->view_only && shared.view == nullptr) ||
      !call->traps(raw_args(*regs)) || may_wait(shared, task, tracee, *regs)) {
    return Interrupted::kAsNatively;
  }
  if (const auto waits = socket_waits(task, *regs)) {
    return *waits ? Interrupted::kAsNatively : Interrupted::kSignalFirst;
  }
  return Interrupted::kCallFirst;
}

}  // namespace beam::interpose
