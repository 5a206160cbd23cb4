#include "interpose/pi_futex.h"

#include <linux/futex.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <ctime>

#include "interpose/shared.h"
#include "interpose/shifted_clocks.h"
#include "interpose/syscall_table.h"
#include "interpose/tracer.h"

#ifndef FUTEX_LOCK_PI2
#define FUTEX_LOCK_PI2 13
#endif

extern "C" {
extern const unsigned char beam_agent_code[];
extern const unsigned char beam_agent_code_end[];
extern const unsigned char beam_pi_requeue[];
extern const unsigned char beam_pi_requeue_waited[];
extern const unsigned char beam_pi_lock[];
extern const unsigned char beam_pi_lock_tried[];
extern const unsigned char beam_pi_held[];
extern const unsigned char beam_pi_waited[];
extern const unsigned char beam_pi_unlock[];
extern const unsigned char beam_pi_unlock_tried[];
extern const unsigned char beam_pi_woken[];
extern const unsigned char beam_pi_refused[];
extern const unsigned char beam_pi_result[];
}

namespace beam::interpose {
namespace {

// Where a label of the routine stands in the agent.
std::uint64_t place(const unsigned char* label) {
  return BEAM_AGENT_CODE + static_cast<std::uint64_t>(label - beam_agent_code);
}

constexpr std::uint64_t kZeroFlag = 1 << 6;

// Set by the kernel in rax for a call that it will restart (include/linux/errno.h).
bool restarts(std::int64_t result) {
  return result == -512 || result == -513 || result == -514 || result == -516;
}

class PiCall : public AgentCall {
 public:
  enum class Kind { kLock, kUnlock, kRequeue };
  PiCall(Kind kind, HostPid tid) : kind_(kind), tid_(tid) {}

  std::optional<std::int64_t> leave(ExitCall& call, bool faulted) override {
    const user_regs_struct* regs = call.tracee().regs();
    if (regs == nullptr) {
      return std::nullopt;
    }
    bool pass_on = false;
    const auto result = faulted ? -EFAULT : result_at(*regs, pass_on);
    call.tracer().pi_waiters().remove(tid_, pass_on);
    return result;
  }

 private:
  // What the call has come to; nothing when it can be made again.
  std::optional<std::int64_t> result_at(const user_regs_struct& regs, bool& pass_on) const {
    const std::uint64_t at = regs.rip;
    const auto value = static_cast<std::int32_t>(regs.rax);
    if (at >= place(beam_pi_result)) {
      return at == place(beam_pi_result) ? value : static_cast<std::int32_t>(regs.r13);
    }
    const bool exchanged = (regs.eflags & kZeroFlag) != 0;
    if (kind_ == Kind::kUnlock) {
      if (at < place(beam_pi_unlock_tried) || (at == place(beam_pi_unlock_tried) && !exchanged) ||
          at >= place(beam_pi_refused)) {
        return std::nullopt;
      }
      pass_on = at < place(beam_pi_woken);
      return 0;
    }
    if (at > place(beam_pi_lock_tried) ? at < place(beam_pi_held) : at == place(beam_pi_lock_tried) && exchanged) {
      return 0;
    }
    if (at < place(beam_pi_lock)) {
      // Still at the condition, or with the result of its wait. Woken, it can't wait there again: the kernel's own
      // service then says that the value has changed (handle_early_requeue_pi_wakeup).
      if (at != place(beam_pi_requeue_waited)) {
        return at > place(beam_pi_requeue_waited) ? std::optional<std::int64_t>(-EAGAIN) : std::nullopt;
      }
      return restarts(value) ? std::nullopt : std::optional<std::int64_t>(value == 0 ? -EAGAIN : value);
    }
    // Before a wait of its own a thread has no wake to pass on; in one that a signal ends it has not got one yet.
    const bool waited = (regs.r12 & FUTEX_WAITERS) != 0;
    pass_on = at == place(beam_pi_waited) ? !restarts(value) : waited;
    return kind_ == Kind::kRequeue ? std::optional<std::int64_t>(-EAGAIN) : std::nullopt;
  }

  Kind kind_;
  HostPid tid_;
};

struct RequeueCall : CallInProgress {
  void at_exit(ExitCall& /*call*/) override {}
};

// 0 or an errno: as futex_init_timeout() judges.
int check_deadline(const RewriteCall& call, std::uint64_t pointer) {
  timespec deadline{};
  if (pointer == 0) {
    return 0;
  }
  if (call.memory().read(pointer, &deadline, sizeof deadline) != 0) {
    return EFAULT;
  }
  return deadline.tv_sec < 0 || deadline.tv_nsec < 0 || deadline.tv_nsec >= 1'000'000'000 ? EINVAL : 0;
}

// Whether the owner that a word names is a living thread of the sandbox, or a dying one whose lock is still to be
// passed on: the list of a C library that does not mark such locks (musl's) is left to the kernel's own walk, which
// from the exit event until it has come there finds the host's id in the word (robust_list.h).
bool lives(RewriteCall& call, std::uint32_t word) {
  const auto id = static_cast<pid_t>(word & FUTEX_TID_MASK);
  const HostPid host = call.shared().pids.to_host(VirtualPid(id));
  const Task* owner = host == HostPid() ? nullptr : call.shared().tasks.find(host);
  if (owner != nullptr && !owner->exiting) {
    return true;
  }
  const Task* dying = call.shared().tasks.find(HostPid(id));
  return dying != nullptr && dying->exiting;
}

// The owner must live at the time when the call begins: later, its end is seen.
int check_owner(RewriteCall& call, std::uint64_t address) {
  std::uint32_t word = 0;
  for (;;) {
    if (call.memory().read(address, &word, sizeof word) != 0) {
      return EFAULT;
    }
    if ((word & FUTEX_TID_MASK) == 0 || lives(call, word)) {
      return 0;
    }
    std::uint32_t again = 0;
    if (call.memory().read(address, &again, sizeof again) == 0 && again == word) {
      return ESRCH;
    }
  }
}

Rewrite run_routine(RewriteCall& call, PiCall::Kind kind, const unsigned char* routine, std::uint64_t lock,
                    int operation, int wait_or_wake, std::uint64_t condition = 0) {
  Task& task = call.task();
  user_regs_struct* regs = call.tracee().regs();
  if (regs == nullptr) {
    return Rewrite::pass();
  }
  auto progress = std::make_unique<PiCall>(kind, task.tid);
  progress->entry = *regs;
  regs->rip = place(routine);
  regs->orig_rax = ~0ULL;
  regs->rax = 0;
  regs->rbx = static_cast<std::uint64_t>(task.vtid.value());
  regs->rbp = static_cast<std::uint64_t>(wait_or_wake | (operation & (FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME)));
  regs->r15 = lock;
  regs->r8 = 0;
  regs->r9 = FUTEX_BITSET_MATCH_ANY;
  regs->r12 = 0;
  regs->r13 = 0;
  regs->r14 = (operation & FUTEX_CMD_MASK) == FUTEX_TRYLOCK_PI ? 1 : 0;
  call.tracee().set_regs_changed();
  // An unlocking thread as well: it may be taken out between freeing the word and waking somebody.
  call.tracer().pi_waiters().add(task.tid,
                                 {task.process->space, lock, (operation & FUTEX_PRIVATE_FLAG) == 0, condition});
  return Rewrite::in_agent(std::move(progress));
}

Rewrite lock_pi(RewriteCall& call, std::uint64_t word, int operation, std::uint64_t deadline) {
  int error = check_deadline(call, deadline);
  if (error == 0) {
    error = word % 4 != 0 ? EINVAL : check_owner(call, word);
  }
  if (error != 0) {
    return Rewrite::error(error);
  }
  // LOCK_PI's deadline is in real time without saying so.
  if ((operation & FUTEX_CMD_MASK) == FUTEX_LOCK_PI) {
    operation |= FUTEX_CLOCK_REALTIME;
  }
  return run_routine(call, PiCall::Kind::kLock, beam_pi_lock, word, operation, FUTEX_WAIT_BITSET);
}

// The kernel looks at the owner before it looks at the address (kernel/futex/pi.c, futex_unlock_pi).
Rewrite unlock_pi(RewriteCall& call, std::uint64_t word, int operation) {
  if (word % 4 != 0) {
    std::uint32_t value = 0;
    if (call.memory().read(word, &value, sizeof value) != 0) {
      return Rewrite::error(EFAULT);
    }
    const bool owner = (value & FUTEX_TID_MASK) == static_cast<std::uint32_t>(call.task().vtid.value());
    return Rewrite::error(owner ? EINVAL : EPERM);
  }
  return run_routine(call, PiCall::Kind::kUnlock, beam_pi_unlock, word, operation, FUTEX_WAKE);
}

// A shared word is known by its page, which has to be there; a private one by its address (kernel/futex/core.c,
// get_futex_key).
bool has_key(const RewriteCall& call, std::uint64_t word, int operation) {
  std::uint32_t value = 0;
  return (operation & FUTEX_PRIVATE_FLAG) != 0 || call.memory().read(word, &value, sizeof value) == 0;
}

Rewrite wait_requeue_pi(RewriteCall& call, std::uint64_t word, int operation, std::uint64_t deadline,
                        std::uint64_t lock) {
  if (const int error = check_deadline(call, deadline); error != 0) {
    return Rewrite::error(error);
  }
  if (word == lock || lock % 4 != 0) {
    return Rewrite::error(EINVAL);
  }
  if (!has_key(call, lock, operation)) {
    return Rewrite::error(EFAULT);
  }
  if (word % 4 != 0) {
    return Rewrite::error(EINVAL);
  }
  return run_routine(call, PiCall::Kind::kRequeue, beam_pi_requeue, lock, operation, FUTEX_WAIT_BITSET, word);
}

// Who waits at the word does so by another operation, and must not get the lock: EINVAL when there is anybody. Moving
// one waiter from the word to the word itself changes nothing, and says so.
struct CountWaiters : CallInProgress {
  void at_exit(ExitCall& call) override {
    if (call.result() > 0) {
      call.set_result(-EINVAL);
    }
  }
};

Rewrite refuse_other_waiters(RewriteCall& call, std::uint64_t word, int operation) {
  auto progress = std::make_unique<CountWaiters>();
  call.set_arg(*progress, 1, static_cast<std::uint64_t>(FUTEX_CMP_REQUEUE | (operation & FUTEX_PRIVATE_FLAG)));
  call.set_arg(*progress, 2, 0);
  call.set_arg(*progress, 3, 1);
  call.set_arg(*progress, 4, word);
  return Rewrite::until_exit(std::move(progress));
}

// All who would be moved are woken, and wait at the lock by themselves.
Rewrite cmp_requeue_pi(RewriteCall& call, std::uint64_t word, int operation, int wake, int requeue,
                       std::uint64_t lock) {
  if (wake != 1 || requeue < 0 || word == lock || word % 4 != 0 || lock % 4 != 0) {
    return Rewrite::error(EINVAL);
  }
  if (!has_key(call, lock, operation)) {
    return Rewrite::error(EFAULT);
  }
  if (!call.tracer().pi_waiters().may_be_requeued(*call.task().process->space, word,
                                                  (operation & FUTEX_PRIVATE_FLAG) == 0)) {
    return refuse_other_waiters(call, word, operation);
  }
  auto progress = std::make_unique<RequeueCall>();
  call.set_arg(*progress, 1, static_cast<std::uint64_t>(FUTEX_CMP_REQUEUE | (operation & FUTEX_PRIVATE_FLAG)));
  call.set_arg(*progress, 2, requeue == INT_MAX ? INT_MAX : static_cast<std::uint64_t>(requeue + 1));
  call.set_arg(*progress, 3, 0);
  return Rewrite::until_exit(std::move(progress));
}

// FUTEX_WAIT_BITSET 9 with a time of CLOCK_MONOTONIC, in a thawed sandbox. FUTEX_LOCK_PI 6, UNLOCK_PI 7, TRYLOCK_PI 8,
// WAIT_REQUEUE_PI 11, CMP_REQUEUE_PI 12, LOCK_PI2 13; every other operation is passed by the filter.
BEAM_SYSCALL_WHEN(futex, Strategy::kRewrite,
                  (TrapWhen{{is(1, 6, 0x7e)},
                            {is(1, 8, 0x7f)},
                            {is(1, 11, 0x7f)},
                            {is(1, 12, 0x7e)},
                            {when_shifted(), is(1, 9, 0x17f), is_not(3, 0)}}),
                  RemotePtr<std::uint32_t> word, int operation, int value, std::uint64_t fourth,
                  RemotePtr<std::uint32_t> second, int third) {
  (void)third;
  const int command = operation & FUTEX_CMD_MASK;
  const bool real_time = (operation & FUTEX_CLOCK_REALTIME) != 0;
  if (command == FUTEX_WAIT_BITSET) {
    return real_time || fourth == 0 ? Rewrite::pass()
                                    : with_kernel_time(call, 3, clock_offset(call.shared(), CLOCK_MONOTONIC));
  }
  if (real_time && command != FUTEX_WAIT_REQUEUE_PI && command != FUTEX_LOCK_PI2) {
    return Rewrite::error(ENOSYS);
  }
  if (!call.task().process->space->agent_mapped) {
    return Rewrite::error(ENOSYS);  // as a kernel without them: libraries then refuse to make such a mutex
  }
  switch (command) {
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2:
      return lock_pi(call, word.address(), operation, fourth);
    case FUTEX_TRYLOCK_PI:
      return lock_pi(call, word.address(), operation, 0);
    case FUTEX_UNLOCK_PI:
      return unlock_pi(call, word.address(), operation);
    case FUTEX_WAIT_REQUEUE_PI:
      return wait_requeue_pi(call, word.address(), operation, fourth, second.address());
    case FUTEX_CMP_REQUEUE_PI:
      return cmp_requeue_pi(call, word.address(), operation, value, static_cast<int>(fourth), second.address());
    default:
      return Rewrite::pass();  // flags that the kernel does not know: it says so
  }
}

// A stop without a signal: the wait begins again and finds the word changed. Nothing comes of it elsewhere.
void nudge(HostPid tid) {
  StoppedTracee(tid).request_stop();
}

}  // namespace

bool PiWaiters::may_be_requeued(const AddressSpace& space, std::uint64_t condition, bool shared) const {
  return std::any_of(waits_.begin(), waits_.end(), [&](const auto& entry) {
    const Wait& wait = entry.second;
    return wait.condition != 0 && wait.shared == shared &&
           (shared || (wait.space.get() == &space && wait.condition == condition));
  });
}

void PiWaiters::remove(HostPid tid, bool pass_on) {
  const auto it = waits_.find(tid);
  if (it == waits_.end()) {
    return;
  }
  const Wait left = std::move(it->second);
  waits_.erase(it);
  if (!pass_on) {
    return;
  }
  for (const auto& [other, wait] : waits_) {
    if (left.shared ? wait.shared : wait.space == left.space && wait.word == left.word) {
      nudge(other);
    }
  }
}

void PiWaiters::died(HostPid tid, VirtualPid vtid) {
  remove(tid, true);
  for (const auto& [waiter, wait] : waits_) {
    const GuestMemory memory(waiter);
    std::uint32_t word = 0;
    if (memory.read(wait.word, &word, sizeof word) != 0) {
      continue;
    }
    if ((word & FUTEX_TID_MASK) == static_cast<std::uint32_t>(vtid.value())) {
      // Nobody else changes it: those who wait have set their bit or find the word changed, and the owner is gone.
      word = FUTEX_OWNER_DIED | FUTEX_WAITERS;
      (void)memory.write(wait.word, &word, sizeof word);
    }
    if ((word & FUTEX_TID_MASK) == 0) {
      nudge(waiter);
    }
  }
}

}  // namespace beam::interpose
