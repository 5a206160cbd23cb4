// The event thread's part in system calls: from a call's entry stop to its exit stop.
#include "interpose/tracer.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "interpose/agent.h"
#include "interpose/interrupted.h"
#include "interpose/reveal.h"
#include "interpose/signal_info.h"
#include "interpose/syscall_table.h"
#include "interpose/timed_call.h"

namespace beam::interpose {
namespace {

// The kernel does it, and the trace wants its result.
struct PassedCall : CallInProgress {
  void at_exit(ExitCall& /*call*/) override {}
};

}  // namespace

void Tracer::on_syscall_trace(Task& task, StoppedTracee tracee) {
  enter_call(task, std::move(tracee));
}

void Tracer::enter_call(Task& task, StoppedTracee tracee) {
  user_regs_struct* regs = tracee.regs();
  if (regs == nullptr) {
    return;
  }
  if (task.call != nullptr && task.call->in_agent() != nullptr) {
    leave_agent(task, tracee);
    resume(task, std::move(tracee));
    return;
  }
  const SyscallDeclaration* declaration = SyscallTable::instance().find(static_cast<long>(regs->orig_rax));
  const bool answered = declaration != nullptr && declaration->strategy == Strategy::kAnswerAtStop;
  // Not a call of a signal handler that came in between.
  const bool restarted = static_cast<long>(regs->orig_rax) == task.escalated.load(std::memory_order_relaxed);
  const bool to_pass = restarted && std::exchange(task.escalated_to_pass, false);
  if (declaration == nullptr || (declaration->rewrite == nullptr && !answered && !to_pass)) {
    resume(task, std::move(tracee));
    return;
  }
  const RawArgs args = raw_args(*regs);
  auto traced = shared_.trace.begin(*declaration, task.vtid, tracee.memory(), args);
  RewriteCall call(*this, shared_, task, tracee);
  Rewrite rewrite = to_pass    ? Rewrite::pass()
                    : answered ? answer_at_stop(*declaration, call, args)
                               : declaration->rewrite(call, args);
  if (rewrite.kind() == Rewrite::Kind::kPass && traced != nullptr) {
    rewrite = Rewrite::until_exit(std::make_unique<PassedCall>());
  }
  switch (rewrite.kind()) {
    case Rewrite::Kind::kPass:
      break;
    case Rewrite::Kind::kSkip:
      regs->orig_rax = ~0ULL;
      regs->rax = static_cast<std::uint64_t>(rewrite.value());
      tracee.set_regs_changed();
      task.escalated.store(-1, std::memory_order_release);
      if (traced != nullptr) {
        shared_.trace.end(*traced, tracee.memory(), rewrite.value());
      }
      break;
    case Rewrite::Kind::kUntilExit:
    case Rewrite::Kind::kInAgent:
      take_over(task, rewrite.take_call());
      task.call->number = declaration->number;
      task.call->traced = std::move(traced);
      pass_own_filters(task, *regs, tracee);
      // From here on the call is the kernel's, and may wait for long (a FIFO without a partner): signals end it, as
      // ever.
      if (task.mask_after_call) {
        tracee.set_signal_mask(*task.mask_after_call);
        task.mask_after_call.reset();
      }
      break;
  }
  resume(task, std::move(tracee));
}

// Of a call that is made again with another timeout, the rest is translated as ever.
void Tracer::take_over(Task& task, std::unique_ptr<CallInProgress> fresh) {
  if (task.call != nullptr) {
    for (std::size_t i = 0; i < fresh->saved.size(); ++i) {
      if (task.call->saved[i]) {
        fresh->saved[i] = task.call->saved[i];
      }
    }
    fresh->slots |= task.call->slots;
    fresh->deadline_ns = task.call->deadline_ns;
  }
  task.call = std::move(fresh);
}

// The program's own filters have judged the call as it was made. The kernel asks them again about what has become of it
// (kernel/seccomp.c, recheck_after_trace), and they are to see it as the agent's.
void Tracer::pass_own_filters(Task& task, user_regs_struct& regs, StoppedTracee& tracee) {
  // Beam's own filter would have an escalated call go through an answer thread once more, where a signal can interrupt
  // it: one after the other, they would keep it from ever being made.
  const bool escalated = task.escalated.load(std::memory_order_relaxed) >= 0;
  if ((task.filters == nullptr && !escalated) || task.call->in_agent() != nullptr ||
      !task.process->space->agent_mapped) {
    return;
  }
  task.call->saved_ip = regs.rip;
  regs.rip = kAgentCallAddress;
  tracee.set_regs_changed();
  // Beam's own filter lets it pass as well, so no answer thread sees it again.
  task.escalated.store(-1, std::memory_order_release);
}

Rewrite Tracer::answer_at_stop(const SyscallDeclaration& declaration, RewriteCall& call, const RawArgs& args) {
  const Task& task = call.task();
  const Caller caller{task.tid, task.vtid, task.process};
  AnswerCall context{shared_, caller};
  const Answer answer = declaration.answer(context, args);
  switch (answer.kind()) {
    case Answer::Kind::kResult:
      return Rewrite::skip(answer.value());
    case Answer::Kind::kEscalate:
      return declaration.rewrite(call, args);
    case Answer::Kind::kPass:
      break;
    case Answer::Kind::kDescriptor:
      BEAM_CHECK(answer.kind() != Answer::Kind::kDescriptor);  // only a notification can hand a descriptor over
      break;
  }
  return Rewrite::pass();
}

void Tracer::on_syscall_stop(Task& task, StoppedTracee tracee) {
  if (task.mask_after_call) {
    unmask_after_call(task, tracee);
  }
  if (task.call != nullptr && !task.call->entered) {
    task.call->entered = true;
    resume(task, std::move(tracee));
    return;
  }
  if (task.call != nullptr) {
    leave_call(task, tracee);
    resume(task, std::move(tracee));
    return;
  }
  if (task.process->unreadable) {
    task.process->unreadable = false;
    task.call = begin_reveal(task, tracee);
    resume(task, std::move(tracee));
    return;
  }
  // Only an escalated call is watched without having been entered. Its own entry is wanted, not that of a handler's
  // call.
  user_regs_struct* regs = tracee.regs();
  if (regs == nullptr) {
    return;
  }
  __ptrace_syscall_info info{};
  const long size = ::ptrace(PTRACE_GET_SYSCALL_INFO, tracee.tid().value(), sizeof info, &info);
  const long escalated = task.escalated.load(std::memory_order_relaxed);
  if (size > 0 && info.op == PTRACE_SYSCALL_INFO_ENTRY && static_cast<long>(regs->orig_rax) == escalated) {
    enter_call(task, std::move(tracee));
    return;
  }
  resume(task, std::move(tracee));
}

void Tracer::leave_call(Task& task, StoppedTracee& tracee) {
  const std::unique_ptr<CallInProgress> call = std::move(task.call);
  release_slots(task, call->slots);
  user_regs_struct* regs = tracee.regs();
  if (regs == nullptr) {
    return;
  }
  for (std::size_t i = 0; i < call->saved.size(); ++i) {
    if (call->saved[i]) {
      arg_register(*regs, i) = *call->saved[i];
      tracee.set_regs_changed();
    }
  }
  if (call->saved_ip) {
    regs->rip = *call->saved_ip;
    tracee.set_regs_changed();
  }
  const auto raw = static_cast<std::int64_t>(regs->rax);
  const bool restarts = will_restart(raw);
  ExitCall exit(*this, shared_, task, tracee);
  keep_deadline(*call, task, raw, *regs);
  if (!restarts) {
    call->at_exit(exit);
  } else {
    call->at_restart(exit);
  }
  if (call->traced != nullptr) {
    shared_.trace.end(*call->traced, tracee.memory(), exit.result(), raw);
  }
}

void Tracer::leave_agent(Task& task, StoppedTracee& tracee, bool faulted) {
  AgentCall* call = task.call != nullptr ? task.call->in_agent() : nullptr;
  user_regs_struct* regs = call != nullptr ? tracee.regs() : nullptr;
  if (regs == nullptr) {
    return;
  }
  ExitCall exit(*this, shared_, task, tracee);
  const std::optional<std::int64_t> result = call->leave(exit, faulted);
  release_slots(task, call->slots);
  *regs = call->entry;
  if (result) {
    regs->rax = static_cast<std::uint64_t>(*result);
  } else {
    constexpr std::uint64_t kSyscallInstruction = 2;  // bytes
    regs->rip -= kSyscallInstruction;
    regs->rax = regs->orig_rax;
  }
  regs->orig_rax = ~0ULL;
  tracee.set_regs_changed();
  if (call->traced != nullptr) {
    shared_.trace.end(*call->traced, tracee.memory(), result.value_or(-513));  // ERESTARTNOINTR
  }
  task.call.reset();
}

// SECCOMP_MODE_STRICT: a call that it does not allow ends the thread as SIGKILL would, and no other thread.
void Tracer::end_strict_task(Task& task, StoppedTracee tracee) {
  const auto info = tracee.siginfo();
  constexpr int kBySeccomp = 1;  // SYS_SECCOMP
  user_regs_struct* regs = tracee.regs();
  if (!info || info->si_code != kBySeccomp || regs == nullptr) {
    resume(task, std::move(tracee), SIGSYS);
    return;
  }
  if (task.process->threads == 1 || !task.process->space->agent_mapped) {
    resume(task, std::move(tracee), SIGKILL);
    return;
  }
  regs->rip = BEAM_AGENT_GADGET;
  regs->rax = SYS_exit;
  regs->orig_rax = ~0ULL;
  regs->rdi = 0;
  tracee.set_regs_changed();
  resume(task, std::move(tracee));
}

// At the exit of the call that went before a signal; not at its entry, nor when it is about to be made again.
void Tracer::unmask_after_call(Task& task, StoppedTracee& tracee) {
  __ptrace_syscall_info info{};
  const long size = ::ptrace(PTRACE_GET_SYSCALL_INFO, tracee.tid().value(), sizeof info, &info);
  if (size > 0 && info.op == PTRACE_SYSCALL_INFO_EXIT && (info.exit.rval > -512 || info.exit.rval < -516)) {
    tracee.set_signal_mask(*task.mask_after_call);
    task.mask_after_call.reset();
  }
}

void Tracer::release_slots(Task& task, std::uint32_t slots) {
  task.process->space->slots_in_use &= ~slots;
}

}  // namespace beam::interpose
