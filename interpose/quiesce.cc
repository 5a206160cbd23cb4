#include "interpose/quiesce.h"

#include <sched.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <thread>

#include "base/fault.h"
#include "base/log.h"
#include "interpose/agent.h"
#include "interpose/agent/layout.h"
#include "interpose/clone.h"
#include "interpose/proc_stat.h"

namespace beam::interpose {
namespace {

constexpr std::uint64_t kAllSignals = ~0ULL;
constexpr std::int64_t kRestartNoHandler = -514;  // ERESTARTNOHAND, include/linux/errno.h

// Calls that show a stop as EINTR, although no handler has run (signal(7), "Interruption of system calls ... by stop
// signals", and those that check signal_pending() themselves). To the program, ERESTARTNOHAND means the same wherever
// EINTR would be right: the kernel turns it into EINTR when a handler runs.
bool shows_stop_as_eintr(long number) {
  switch (number) {
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
    case SYS_epoll_pwait2:
    case SYS_semop:
    case SYS_semtimedop:
    case SYS_rt_sigtimedwait:
    case SYS_io_getevents:
    case SYS_io_pgetevents:
    // With SO_RCVTIMEO or SO_SNDTIMEO set (socket(7)).
    case SYS_accept:
    case SYS_accept4:
    case SYS_connect:
    case SYS_recvfrom:
    case SYS_recvmsg:
    case SYS_recvmmsg:
    case SYS_sendto:
    case SYS_sendmsg:
    case SYS_sendmmsg:
    case SYS_read:
    case SYS_readv:
    case SYS_write:
    case SYS_writev:
    // With a timeout in memory that can't be written (fs/select.c poll_select_finish).
    case SYS_ppoll:
    case SYS_pselect6:
    case SYS_select:
      return true;
    default:
      return false;
  }
}

bool in_beams_code(const AddressSpace& space, std::uint64_t rip) {
  if (!space.agent_mapped) {
    return false;
  }
  return (rip >= BEAM_AGENT_BASE && rip < BEAM_AGENT_SLOTS) ||
         (rip >= space.kernel_vdso && rip < space.kernel_vdso + kernel_vdso_size());
}

}  // namespace

// --- Tracer's part ---

// The parent of a vfork sleeps where only death wakes it, until this process executes a program or ends.
bool Tracer::lets_vfork_parent_wait(const Process& process) const {
  return std::any_of(shared_.tasks.tasks().begin(), shared_.tasks.tasks().end(), [&](const auto& entry) {
    const auto* clone = dynamic_cast<const CloneInProgress*>(entry.second->call.get());
    return clone != nullptr && (clone->flags & CLONE_VFORK) != 0 && clone->child == process.vpid;
  });
}

void Tracer::request_hold(const Task& task) const {
  if (task.state != RunState::kNew && !task.exiting && !lets_vfork_parent_wait(*task.process)) {
    ::ptrace(PTRACE_INTERRUPT, task.tid.value(), nullptr, nullptr);
  }
}

void Tracer::hold(Task& task, StoppedTracee tracee, int stop_signal) {
  tracee.flush_regs();
  task.state = RunState::kHeld;
  task.held_stop_signal = stop_signal;
}

void Tracer::begin_hold() {
  holding_ = true;
  for (const auto& [tid, task] : shared_.tasks.tasks()) {
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
    resume(*task, StoppedTracee(tid));
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
  // A step may have ended a task, or found one killed: the table has to say so.
  tracer.take_events();
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
      const auto* clone = dynamic_cast<const CloneInProgress*>(missing->call.get());
      const bool vfork = clone != nullptr && (clone->flags & CLONE_VFORK) != 0;
      return Error(EBUSY, "stop thread " + std::to_string(missing->vtid.value()) + " of process " +
                              std::to_string(missing->process->vpid.value()) +
                              (vfork ? ", which waits in vfork for its child to execute a program"
                                     : ", which sleeps uninterruptibly in the kernel"))
          .remedy("try again later");
    }
    // Stops come within microseconds; what takes longer sleeps in the kernel, and is worth waiting for in larger steps.
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, std::chrono::microseconds(1000));
  }
}

Result<> QuiescedSandbox::tidy(Task& task) {
  StoppedTracee tracee(task.tid);
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
  return success();
}

}  // namespace beam::interpose
