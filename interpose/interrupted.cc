#include "interpose/interrupted.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

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

bool interrupted_unanswered(Shared& shared, const Task& task, StoppedTracee& tracee) {
  const user_regs_struct* regs = tracee.regs();
  if (regs == nullptr || regs->rax != kRestartSystem) {
    return false;
  }
  const SyscallDeclaration* call = SyscallTable::instance().find(static_cast<long>(regs->orig_rax));
  return call != nullptr && call->strategy == Strategy::kAnswer && (!call->view_only || shared.view != nullptr) &&
         call->traps(raw_args(*regs)) && !may_wait(shared, task, tracee, *regs);
}

}  // namespace beam::interpose
