// What a process says about itself: prctl(2), seccomp(2), capget(2), futex(2) with owners.
#include <linux/capability.h>
#include <linux/futex.h>
#include <sys/prctl.h>

#include <cerrno>
#include <cstddef>

#include "interpose/shared.h"
#include "interpose/syscall_table.h"

namespace beam::interpose {
namespace {

// A process that is not dumpable could not be looked into by its own supervisor: kept in the view only.
BEAM_SYSCALL_WHEN(prctl, Strategy::kAnswer,
                  (one_of(0, {PR_SET_DUMPABLE, PR_GET_DUMPABLE, PR_SET_SECCOMP, PR_GET_SECCOMP})), int option,
                  std::uint64_t value) {
  Process& process = *call.caller.process;
  if (process.revealing) {
    return Answer::pass();
  }
  if (option == PR_SET_SECCOMP || option == PR_GET_SECCOMP) {
    return Answer::escalate();  // sys_seccomp.cc
  }
  if (option == PR_GET_DUMPABLE) {
    return Answer::result(process.dumpable_cleared.load() ? 0 : 1);
  }
  if (value > 1) {
    return Answer::error(EINVAL);
  }
  process.dumpable_cleared.store(value == 0);
  return Answer::result(0);
}

// credentials(7): the kernel keeps them. Remembered is only that they may differ from the supervisor's.
Answer change_credentials(const AnswerCall& call) {
  call.caller.process->credentials_changed = true;
  return Answer::pass();
}

BEAM_SYSCALL(setuid, Strategy::kAnswer, unsigned) {
  return change_credentials(call);
}
BEAM_SYSCALL(setgid, Strategy::kAnswer, unsigned) {
  return change_credentials(call);
}
BEAM_SYSCALL(setreuid, Strategy::kAnswer, unsigned, unsigned) {
  return change_credentials(call);
}
BEAM_SYSCALL(setregid, Strategy::kAnswer, unsigned, unsigned) {
  return change_credentials(call);
}
BEAM_SYSCALL(setresuid, Strategy::kAnswer, unsigned, unsigned, unsigned) {
  return change_credentials(call);
}
BEAM_SYSCALL(setresgid, Strategy::kAnswer, unsigned, unsigned, unsigned) {
  return change_credentials(call);
}
BEAM_SYSCALL(setfsuid, Strategy::kAnswer, unsigned) {
  return change_credentials(call);
}
BEAM_SYSCALL(setfsgid, Strategy::kAnswer, unsigned) {
  return change_credentials(call);
}
BEAM_SYSCALL(setgroups, Strategy::kAnswer, std::uint64_t, RemotePtr<gid_t>) {
  return change_credentials(call);
}

struct HeaderCall : CallInProgress {
  void at_exit(ExitCall& /*call*/) override {}
};

// Only the caller itself may be named (capset(2)); the kernel knows it by the host's id, or by 0.
BEAM_SYSCALL(capset, Strategy::kAnswer, RemotePtr<__user_cap_header_struct> header, RemotePtr<void>) {
  __user_cap_header_struct copy{};
  const bool named = call.memory().read(header, copy) == 0 && copy.pid != 0;
  if (named && VirtualPid(copy.pid) == call.caller.vtid) {
    call.caller.process->credentials_changed = true;
    return Answer::escalate();
  }
  return change_credentials(call);
}

BEAM_ESCALATED(capset, RemotePtr<__user_cap_header_struct> header) {
  __user_cap_header_struct copy{};
  if (call.memory().read(header, copy) != 0) {
    return Rewrite::error(EFAULT);
  }
  copy.pid = 0;
  auto progress = std::make_unique<HeaderCall>();
  const std::uint64_t place = call.put(*progress, &copy, sizeof copy);
  if (place == 0) {
    return Rewrite::error(EPERM);
  }
  call.set_arg(*progress, 0, place);
  return Rewrite::until_exit(std::move(progress));
}

BEAM_SYSCALL(capget, Strategy::kRewrite, RemotePtr<__user_cap_header_struct> header, RemotePtr<void> data) {
  (void)data;
  __user_cap_header_struct copy{};
  if (call.memory().read(header, copy) != 0 || copy.pid <= 0 || !data ||
      (copy.version != _LINUX_CAPABILITY_VERSION_1 && copy.version != _LINUX_CAPABILITY_VERSION_2 &&
       copy.version != _LINUX_CAPABILITY_VERSION_3)) {
    return Rewrite::pass();  // the caller itself, or a probe of the version, which the kernel writes into the header
  }
  const HostPid host = call.shared().pids.to_host(VirtualPid(copy.pid));
  if (host == HostPid()) {
    return Rewrite::error(ESRCH);
  }
  copy.pid = host.value();
  auto progress = std::make_unique<HeaderCall>();
  const std::uint64_t place = call.put(*progress, &copy, sizeof copy);
  if (place == 0) {
    return Rewrite::error(EPERM);
  }
  call.set_arg(*progress, 0, place);
  return Rewrite::until_exit(std::move(progress));
}

}  // namespace
}  // namespace beam::interpose
