#include "interpose/quiesce.h"

#include <sched.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <thread>
#include <utility>

#include "base/fault.h"
#include "base/log.h"
#include "interpose/agent.h"
#include "interpose/agent/layout.h"
#include "interpose/proc_stat.h"
#include "interpose/timed_call.h"

namespace beam::interpose {
namespace {

constexpr std::uint64_t kAllSignals = ~0ULL;

bool in_beams_code(const AddressSpace& space, std::uint64_t rip) {
  if (!space.agent_mapped) {
    return false;
  }
  return (rip >= BEAM_AGENT_BASE && rip < BEAM_AGENT_SLOTS) ||
         (rip >= space.kernel_vdso && rip < space.kernel_vdso + kernel_vdso_size());
}

}  // namespace

// --- Tracer's part ---

// A program whose memory is closed does not stop before its first system call has opened it (reveal.h).
void Tracer::request_hold(const Task& task) const {
  if (task.state != RunState::kNew && !task.exiting && !task.process->unreadable && task.state != RunState::kInVfork) {
    ::ptrace(PTRACE_INTERRUPT, task.tid.value(), nullptr, nullptr);
  }
}

void Tracer::hold(Task& task, StoppedTracee tracee, int stop_signal) {
  leave_agent(task, tracee);
  tracee.flush_regs();
  task.state = RunState::kHeld;
  task.held_stop_signal = stop_signal;
}

void Tracer::begin_hold() {
  holding_ = true;
  for (const auto& [tid, task] : shared_.tasks.tasks()) {
    if (task->state == RunState::kInVfork) {
      hold(*task, StoppedTracee(tid), 0);
    }
    request_hold(*task);
  }
}

bool Tracer::take_events() {
  bool any = drain_posted();
  for (;;) {
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, __WALL | WNOHANG);
    if (pid <= 0) {
      adopt_orphans_of_dead_parents();
      return any;
    }
    any = true;
    handle(HostPid(pid), status);
  }
}

void Tracer::end_hold() {
  holding_ = false;
  for (const auto& [tid, task] : shared_.tasks.tasks()) {
    if (task->state != RunState::kHeld) {
      continue;
    }
    if (task->held_stop_signal != 0) {
      // It may have been stepped since, and stands in another stop now: this brings it back to that of its group, or on
      // when SIGCONT has come, without an instruction in between.
      StoppedTracee(tid).request_stop();
    }
    if (task->vfork_child != VirtualPid()) {
      task->state = RunState::kInVfork;
      continue;
    }
    StoppedTracee tracee(tid);
    if (task->timed_restart) {
      begin_timed_restart(*task, tracee);
    }
    resume(*task, std::move(tracee));
  }
}

// --- QuiescedSandbox ---

Result<std::unique_ptr<QuiescedSandbox>> QuiescedSandbox::begin(Tracer& tracer, std::chrono::milliseconds patience) {
  std::unique_ptr<QuiescedSandbox> quiesced(new QuiescedSandbox(tracer));
  BlockedCallReader reader;
  for (const auto& [tid, task] : tracer.shared().tasks.tasks()) {
    if (task->state == RunState::kRunning && !task->exiting) {
      if (const auto call = reader.read(tid)) {
        quiesced->blocked_[tid] = *call;
      }
    }
  }
  BEAM_TRY(quiesced->stop_all(patience));
  for (Task* task : quiesced->tasks()) {
    BEAM_TRY(quiesced->tidy(*task));
  }
  BEAM_TRY(quiesced->bury_killed(patience));
  if (fault_point("quiesce.stopped")) {
    return Error(EIO, "quiesce: fault point");
  }
  return quiesced;
}

QuiescedSandbox::~QuiescedSandbox() {
  resume();
}

void QuiescedSandbox::resume() {
  if (tracer_ != nullptr) {
    std::exchange(tracer_, nullptr)->end_hold();
  }
}

void QuiescedSandbox::end() {
  if (tracer_ != nullptr) {
    // Killed while they are held: none runs another instruction.
    Tracer* tracer = std::exchange(tracer_, nullptr);
    tracer->kill_all();
    tracer->end_hold();
  }
}

std::vector<Task*> QuiescedSandbox::tasks() const {
  std::vector<Task*> held;
  for (const auto& [tid, task] : tracer_->shared().tasks.tasks()) {
    if (task->state == RunState::kHeld) {
      held.push_back(task.get());
    }
  }
  std::sort(held.begin(), held.end(), [](const Task* a, const Task* b) { return a->vtid < b->vtid; });
  return held;
}

const BlockedCall* QuiescedSandbox::blocked_call(HostPid tid) const {
  const auto it = blocked_.find(tid);
  return it == blocked_.end() ? nullptr : &it->second;
}

Result<> QuiescedSandbox::stop_all(std::chrono::milliseconds patience) {
  const auto give_up = std::chrono::steady_clock::now() + patience;
  tracer_->begin_hold();
  auto pause = std::chrono::microseconds(10);
  for (;;) {
    const bool moved = tracer_->take_events();
    const Task* missing = nullptr;
    for (const auto& [tid, task] : tracer_->shared().tasks.tasks()) {
      if (task->state == RunState::kHeld) {
        continue;
      }
      if (task->exiting && tid == task->process->host) {
        // A leader that has exited stays as a zombie until its last thread has; no event tells when it is one.
        const auto stat = read_proc_stat(tid);
        if (stat && stat->state == 'Z' && task->process->threads > 1) {
          continue;
        }
      }
      missing = task.get();
      break;
    }
    if (missing == nullptr && tracer_->all_children_known()) {
      return success();
    }
    if (moved) {
      pause = std::chrono::microseconds(10);
      continue;
    }
    if (missing != nullptr && std::chrono::steady_clock::now() > give_up) {
      return Error(EBUSY, "stop thread " + std::to_string(missing->vtid.value()) + " of process " +
                              std::to_string(missing->process->vpid.value()) +
                              ", which sleeps uninterruptibly in the kernel")
          .remedy("try again later");
    }
    // Stops come within microseconds; what takes longer sleeps in the kernel, and is worth waiting for in larger steps.
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, std::chrono::microseconds(1000));
  }
}

// A signal that was on its way may have killed a task although it was held, or a step may have ended it: the table has
// to say so.
Result<> QuiescedSandbox::bury_killed(std::chrono::milliseconds patience) {
  const auto give_up = std::chrono::steady_clock::now() + patience;
  for (;;) {
    tracer_->take_events();
    const Task* dying = nullptr;
    for (const auto& [tid, task] : tracer_->shared().tasks.tasks()) {
      const bool leader_of_living = task->exiting && tid == task->process->host && task->process->threads > 1;
      if (task->state == RunState::kHeld && !leader_of_living && (task->exiting || !StoppedTracee(tid).signal_mask())) {
        dying = task.get();
        break;
      }
    }
    if (dying == nullptr) {
      return success();
    }
    if (std::chrono::steady_clock::now() > give_up) {
      return Error(EBUSY,
                   "wait for the end of thread " + std::to_string(dying->vtid.value()) + ", which has been killed");
    }
    std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
}

Result<> QuiescedSandbox::tidy(Task& task) {
  StoppedTracee tracee(task.tid);
  tracer_->undo_timed_restart(task, tracee);
  const AddressSpace& space = *task.process->space;
  const auto died = [&] { return task.exiting || ::kill(task.process->host.value(), 0) != 0; };
  user_regs_struct* regs = tracee.regs();
  if (regs == nullptr) {
    return success();  // killed meanwhile: its events follow
  }
  if (in_beams_code(space, regs->rip)) {
    // With all signals blocked a step can't leave for a handler. The vDSO's longest way is some hundred instructions,
    // and retries of a read that the kernel's clock update disturbed.
    constexpr int kMostSteps = 1'000'000;
    const auto mask = tracee.signal_mask();
    bool stop_request_used = false;
    int steps = 0;
    if (!mask || !tracee.set_signal_mask(kAllSignals)) {
      return success();
    }
    while (regs != nullptr && in_beams_code(space, regs->rip) && steps++ < kMostSteps) {
      if (!tracee.step(stop_request_used)) {
        return success();
      }
      regs = tracee.regs();
    }
    tracee.set_signal_mask(*mask);
    if (stop_request_used) {
      tracee.request_stop();
    }
    if (steps >= kMostSteps && !died()) {
      return Error(EBUSY, "step thread " + std::to_string(task.vtid.value()) + " out of the vDSO");
    }
    if (regs == nullptr) {
      return success();
    }
  }
  if (static_cast<std::int64_t>(regs->rax) == -EINTR && shows_stop_as_eintr(static_cast<long>(regs->orig_rax))) {
    regs->rax = static_cast<std::uint64_t>(kRestartNoHandler);
    tracee.set_regs_changed();
    tracee.flush_regs();
  }
  const auto result = static_cast<std::int64_t>(regs->rax);
  const auto number = static_cast<long>(regs->orig_rax);
  if (result == kRestartBlock && (number != SYS_restart_syscall || !task.restarting.deadline_ns)) {
    const long original = number == SYS_restart_syscall ? task.restarting.number : number;
    const auto known = std::exchange(task.timed_restart, std::nullopt);  // of a call that was made again already
    task.restarting = {original, known ? known : deadline_of(original, *regs, tracee.memory(), blocked_call(task.tid))};
  } else if (result == kRestartNoHandler && !task.timed_restart) {
    task.timed_restart = deadline_of(number, *regs, tracee.memory(), blocked_call(task.tid));
  }
  return success();
}

}  // namespace beam::interpose
