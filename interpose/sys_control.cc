// What a process says about itself: prctl(2), seccomp(2), capget(2), futex(2) with owners.
#include <linux/capability.h>
#include <linux/futex.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

#include "interpose/proc_stat.h"
#include "interpose/shared.h"
#include "interpose/shifted_clocks.h"
#include "interpose/syscall_numbers.h"
#include "interpose/syscall_table.h"
#include "interpose/unread_memory.h"

#ifndef PR_SCHED_CORE
#define PR_SCHED_CORE 62
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

namespace beam::interpose {
namespace {

bool has_no_new_privs(const AnswerCall& call) {
  const std::shared_lock lock(call.shared.tasks.mutex());
  const Task* task = call.shared.tasks.find(call.caller.tid);
  return task != nullptr && task->no_new_privs;
}

void set_no_new_privs(const AnswerCall& call) {
  const std::shared_lock lock(call.shared.tasks.mutex());
  if (Task* task = call.shared.tasks.find(call.caller.tid)) {
    task->no_new_privs = true;
  }
}

// And, in a thawed sandbox, names of memory (unread_memory.h).
TrapWhen with_names(TrapWhen options) {
  options.push_back({when_shifted(), is(0, PR_SET_VMA)});
  return options;
}

// A process that is not dumpable could not be looked into by its own supervisor: kept in the view only.
BEAM_SYSCALL_WHEN(prctl, Strategy::kAnswer,
                  (with_names(one_of(0, {PR_SET_DUMPABLE, PR_GET_DUMPABLE, PR_SET_SECCOMP, PR_GET_SECCOMP,
                                         PR_SET_NO_NEW_PRIVS, PR_GET_NO_NEW_PRIVS, PR_SET_PTRACER, PR_SCHED_CORE,
                                         PR_CAPBSET_DROP, PR_CAP_AMBIENT, PR_SET_SECUREBITS}))),
                  PrctlOption option, std::uint64_t second, std::uint64_t third, std::uint64_t fourth,
                  std::uint64_t fifth) {
  Process& process = *call.caller.process;
  if (process.revealing) {
    return Answer::pass();
  }
  switch (option.value) {
    case PR_GET_DUMPABLE:
      return Answer::result(process.dumpable_cleared.load() ? 0 : 1);
    case PR_SET_DUMPABLE:
      if (second > 1) {
        return Answer::error(EINVAL);
      }
      process.dumpable_cleared.store(second == 0);
      return Answer::result(0);
    case PR_SET_NO_NEW_PRIVS:
      if (second != 1 || third != 0 || fourth != 0 || fifth != 0) {
        return Answer::error(EINVAL);
      }
      set_no_new_privs(call);
      return Answer::result(0);
    case PR_GET_NO_NEW_PRIVS:
      if (second != 0 || third != 0 || fourth != 0 || fifth != 0) {
        return Answer::error(EINVAL);
      }
      return Answer::result(has_no_new_privs(call) ? 1 : 0);
    case PR_CAPBSET_DROP:
    case PR_CAP_AMBIENT:
    case PR_SET_SECUREBITS:
      process.credentials_changed = true;  // as by the calls below
      return Answer::pass();
    case PR_SET_VMA:
      return is_unread(call.shared, process, {third, third + fourth}) ? Answer::escalate() : Answer::pass();
    default:
      return Answer::escalate();  // filters: sys_seccomp.cc
  }
}

// A Landlock domain wants what a seccomp filter wants: no new privileges, or the capability (landlock(7)). Remembered
// is only that there is one: the kernel does not tell.
BEAM_SYSCALL(landlock_restrict_self, Strategy::kAnswer, GuestFd, unsigned) {
  if (call.shared.view != nullptr) {
    return Answer::error(EOPNOTSUPP);  // with the rest of it (sys_names.cc)
  }
  if (!has_no_new_privs(call)) {
    const auto ids = read_proc_credentials(call.caller.tid);
    const bool there = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION) >= 0;
    if (there && (!ids || !ids->may_administer)) {
      return Answer::error(EPERM);
    }
  }
  call.caller.process->landlocked = true;
  return Answer::pass();
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

// Of an unknown version the kernel writes the one that it likes into the header, and looks no further.
bool knows_version(const __user_cap_header_struct& header) {
  return header.version == _LINUX_CAPABILITY_VERSION_1 || header.version == _LINUX_CAPABILITY_VERSION_2 ||
         header.version == _LINUX_CAPABILITY_VERSION_3;
}

struct HeaderCall : CallInProgress {
  void at_exit(ExitCall& /*call*/) override {}
};

// Only the caller itself may be named (capset(2)); the kernel knows it by the host's id, or by 0.
BEAM_SYSCALL(capset, Strategy::kAnswer, RemotePtr<__user_cap_header_struct> header, RemotePtr<void>) {
  __user_cap_header_struct copy{};
  const bool named = call.memory().read(header, copy) == 0 && copy.pid != 0;
  if (named && knows_version(copy)) {
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
  copy.pid = VirtualPid(copy.pid) == call.task().vtid ? 0 : INT32_MAX;
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
  if (call.memory().read(header, copy) != 0 || copy.pid <= 0 || !data || !knows_version(copy)) {
    return Rewrite::pass();  // the caller itself, or a probe of the version
  }
  copy.pid = call.shared().host_argument(copy.pid);
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
