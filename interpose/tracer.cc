#include "interpose/tracer.h"

#include <sched.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <utility>

#include "base/check.h"
#include "interpose/agent.h"
#include "interpose/clone.h"
#include "interpose/interrupted.h"
#include "interpose/proc_stat.h"
#include "interpose/signal_info.h"
#include "interpose/timed_call.h"

namespace beam::interpose {
namespace {

// Interrupts the event thread's wait. Chosen from the real-time range, whose upper end no library claims.
int wake_signal() {
  return SIGRTMAX - 1;
}

constexpr int kSyscallStop = SIGTRAP | 0x80;  // PTRACE_O_TRACESYSGOOD

bool is_group_stop_signal(int signal) {
  return signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
}

bool changes_job_state(int signal) {
  return signal == SIGCONT || is_group_stop_signal(signal);
}

// Whether the task has a handler for the signal.
bool catches(HostPid tid, int signal) {
  const auto caught = read_proc_caught_signals(tid);
  return !caught || (*caught >> (signal - 1) & 1U) != 0;
}

// Whether the signal does nothing to the task.
bool ignores(HostPid tid, int signal) {
  std::ifstream file("/proc/" + std::to_string(tid.value()) + "/status");
  bool ignored = false;
  for (std::string line; std::getline(file, line);) {
    const auto has = [&](const char* name) {
      return line.starts_with(name) && (std::strtoull(line.c_str() + 7, nullptr, 16) >> (signal - 1) & 1U) != 0;
    };
    if (has("SigCgt:")) {
      return false;
    }
    ignored = ignored || has("SigIgn:");
  }
  return ignored || signal == SIGCHLD || signal == SIGURG || signal == SIGWINCH || signal == SIGCONT;
}
}  // namespace

Tracer::Tracer(Shared& shared) : shared_(shared), listeners_(shared) {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  ::sigaction(wake_signal(), &action, nullptr);  // no SA_RESTART: the point is EINTR
  thread_ = std::thread([this] { run(); });
}

Tracer::~Tracer() {
  post([this](Tracer&) {
    kill_all();
    quit_ = true;
  });
  thread_.join();
}

void Tracer::post(std::function<void(Tracer&)> work, When when) {
  const auto ran = std::make_shared<std::atomic<bool>>(false);
  {
    const std::lock_guard lock(mutex_);
    posted_.push_back({[ran, work = std::move(work)](Tracer& tracer) {
                         ran->store(true);
                         work(tracer);
                       },
                       when});
  }
  work_arrived_.notify_one();
  if (std::this_thread::get_id() == thread_.get_id()) {
    return;
  }
  // A wake that comes just before the wait begins is lost, so it is repeated until the work has been taken.
  while (!ran->load()) {
    ::pthread_kill(thread_.native_handle(), wake_signal());
    for (int i = 0; i < 20 && !ran->load(); ++i) {
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }
}

void Tracer::run_and_wait(const std::function<void(Tracer&)>& work) {
  std::mutex done_mutex;
  std::condition_variable done_changed;
  bool done = false;
  post([&](Tracer& tracer) {
    work(tracer);
    // Notified under the lock: the waiter, and with it the condition variable, may be gone right after.
    const std::lock_guard lock(done_mutex);
    done = true;
    done_changed.notify_one();
  });
  std::unique_lock lock(done_mutex);
  done_changed.wait(lock, [&] { return done; });
}

bool Tracer::drain_posted() {
  bool ran = false;
  for (;;) {
    std::function<void(Tracer&)> work;
    {
      const std::lock_guard lock(mutex_);
      const auto next = std::find_if(posted_.begin(), posted_.end(), [this](const Posted& posted) {
        return !holding_ || posted.when == When::kAlways;
      });
      if (next == posted_.end()) {
        return ran;
      }
      work = std::move(next->work);
      posted_.erase(next);
    }
    work(*this);
    ran = true;
  }
}

void Tracer::run() {
  int turns_without_news = 0;
  for (;;) {
    drain_posted();
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, early_.empty() ? __WALL : __WALL | WNOHANG);
    if (pid > 0) {
      handle(HostPid(pid), status);
      turns_without_news = 0;
      continue;
    }
    if (pid == 0) {
      // A child's parent has not reported it. Most often its event is on the way; but it may have been killed before.
      if (++turns_without_news > 1) {
        adopt_orphans_of_dead_parents();
      }
      std::this_thread::sleep_for(std::chrono::microseconds(50));
      continue;
    }
    if (errno == ECHILD) {
      if (quit_) {
        return;
      }
      std::unique_lock lock(mutex_);
      work_arrived_.wait(lock, [this] { return !posted_.empty(); });
    }
  }
}

void Tracer::handle(HostPid tid, int status) {
  if (WIFEXITED(status) || WIFSIGNALED(status)) {
    on_death(tid, status);
    return;
  }
  if (!WIFSTOPPED(status)) {
    return;
  }
  StoppedTracee tracee(tid);
  const int signal = WSTOPSIG(status);
  const int event = status >> 16;
  Task* task = shared_.tasks.find(tid);
  if (task == nullptr) {
    if (event == PTRACE_EVENT_STOP) {
      // Its parent's event has not come yet; until then it stays stopped.
      early_.insert(tid);
      return;
    }
    std::move(tracee).resume(Resume::kContinue, event == 0 ? signal : 0);
    return;
  }
  if (killing_) {
    ::syscall(SYS_tgkill, task->process->host.value(), tid.value(), SIGKILL);
  }
  switch (event) {
    case 0:
      if (signal == kSyscallStop) {
        on_syscall_stop(*task, std::move(tracee));
      } else {
        on_signal(*task, std::move(tracee), signal);
      }
      return;
    case PTRACE_EVENT_FORK:
    case PTRACE_EVENT_VFORK:
    case PTRACE_EVENT_CLONE:
      on_new_child(*task, std::move(tracee));
      return;
    case PTRACE_EVENT_EXEC:
      on_exec(*task, std::move(tracee));
      return;
    case PTRACE_EVENT_SECCOMP:
      on_syscall_trace(*task, std::move(tracee));
      return;
    case PTRACE_EVENT_EXIT:
      on_exit_event(*task, std::move(tracee));
      return;
    case PTRACE_EVENT_STOP:
      on_event_stop(*task, std::move(tracee), signal);
      return;
    default:
      resume(*task, std::move(tracee));
      return;
  }
}

// A task between a call's entry and exit, or with an escalated call still to restart, has to report system call stops.
void Tracer::resume(Task& task, StoppedTracee tracee, int signal) {
  task.state = RunState::kRunning;
  const bool in_call = task.call != nullptr && task.call->in_agent() == nullptr;
  const bool watch = in_call || task.mask_after_call || task.process->unreadable ||
                     task.escalated.load(std::memory_order_relaxed) >= 0;
  if (holding_) {
    // This stop has used up the request that was under way (kernel/signal.c ptrace_stop). Before it goes on, or the
    // program would see the EINTR that the request has caused.
    request_hold(task);
  }
  std::move(tracee).resume(watch ? Resume::kToSyscallStop : Resume::kContinue, signal);
}

void Tracer::on_event_stop(Task& task, StoppedTracee tracee, int signal) {
  if (task.state == RunState::kNew) {
    start_child(task, std::move(tracee));
    return;
  }
  if (holding_ && !task.process->unreadable) {
    hold(task, std::move(tracee), is_group_stop_signal(signal) ? signal : 0);
    return;
  }
  note_restart(task, tracee);
  // Each thread stops and goes on by itself; the leader's news is the process's.
  const bool leader = task.process->host == tracee.tid();
  if (is_group_stop_signal(signal)) {
    if (leader && task.state != RunState::kGroupStop) {
      shared_.observer.on_stop(task.vtid, signal);
    }
    task.state = RunState::kGroupStop;
    std::move(tracee).resume(Resume::kListen);
    return;
  }
  if (leader && task.state == RunState::kGroupStop) {
    shared_.observer.on_continue(task.vtid);
  }
  resume(task, std::move(tracee));
}

void Tracer::on_new_child(Task& parent, StoppedTracee tracee) {
  const auto message = tracee.event_message();
  if (!message) {
    return;
  }
  const auto child = HostPid(static_cast<pid_t>(*message));
  if (parent.call == nullptr) {
    parent.call = clone_seen_at_event(tracee);
    if (parent.call == nullptr) {
      return;
    }
  }
  auto* clone = dynamic_cast<CloneInProgress*>(parent.call.get());
  BEAM_CHECK(clone != nullptr);
  const VirtualPid vtid = shared_.pids.allocate(child);
  clone->child = vtid;
  std::shared_ptr<Process> process = parent.process;
  if ((clone->flags & CLONE_THREAD) == 0) {
    process = std::make_shared<Process>();
    process->host = child;
    process->vpid = vtid;
    process->parent = (clone->flags & CLONE_PARENT) != 0 ? parent.process->parent : parent.process->host;
    process->parent_known = (clone->flags & CLONE_PARENT) == 0 || parent.process->parent_known;
    process->dumpable_cleared = parent.process->dumpable_cleared.load();
    if (clone->exit_signal > 0 && clone->exit_signal <= 64) {
      shared_.exit_signals |= 1ULL << (clone->exit_signal - 1);
    }
    process->trapped_reads = parent.process->trapped_reads;
    process->message_traps = parent.process->message_traps.load();
    process->credentials_changed = parent.process->credentials_changed.load();
    process->landlocked = parent.process->landlocked.load();
    process->umask = parent.process->umask.load();
    process->set_view_root(parent.process->view_root());
    if ((clone->flags & CLONE_VM) != 0) {
      process->space = parent.process->space;
    } else {
      process->space = std::make_shared<AddressSpace>(*parent.process->space);
      process->space->slots_in_use = 0;
    }
    shared_.tasks.add_process(process);
  }
  if ((clone->flags & CLONE_PARENT_SETTID) != 0 && clone->settid_by_us) {
    (void)tracee.memory().write(clone->parent_tid, &vtid, sizeof(pid_t));
  }
  const bool lives = early_dead_.erase(child) == 0;
  if (!lives) {
    // It was killed before it could report itself. Its parent can still wait for it.
    if (process != parent.process) {
      ++zombies_;
    }
  } else {
    Task& task = shared_.tasks.add(child, vtid, process);
    {
      const std::unique_lock lock(shared_.tasks.mutex());
      task.filters = parent.filters;
    }
    task.no_new_privs = parent.no_new_privs.load();
    task.entry_args = clone->saved;
    if ((clone->flags & CLONE_CHILD_SETTID) != 0) {
      task.settid_address = clone->child_tid;
    }
    if (early_.erase(child) != 0) {
      start_child(task, StoppedTracee(child));
    }
  }
  if ((clone->flags & CLONE_VFORK) != 0 && lives) {
    wait_for_vfork_child(parent, std::move(tracee), *process);
    return;
  }
  resume(parent, std::move(tracee));
}

// Takes the parent out of its call, with the result that it will see, and keeps it there.
void Tracer::wait_for_vfork_child(Task& parent, StoppedTracee tracee, Process& child) {
  const auto mask = tracee.signal_mask();
  bool stop_request_used = false;
  if (!mask || !tracee.set_signal_mask(~(1ULL << (SIGTRAP - 1))) || !tracee.step(stop_request_used) ||
      !tracee.set_signal_mask(*mask)) {
    return;  // killed: its events follow
  }
  leave_call(parent, tracee);
  if (!tracee.flush_regs()) {
    return;
  }
  if (stop_request_used) {
    tracee.request_stop();
  }
  parent.vfork_child = child.vpid;
  child.vfork_parent = parent.tid;
  parent.state = RunState::kInVfork;
  if (holding_) {
    hold(parent, std::move(tracee), 0);
  }
}

// The child has executed a program, or ends.
void Tracer::end_vfork(Process& child) {
  const HostPid tid = std::exchange(child.vfork_parent, HostPid());
  Task* parent = tid != HostPid() ? shared_.tasks.find(tid) : nullptr;
  if (parent == nullptr || parent->vfork_child != child.vpid) {
    return;
  }
  parent->vfork_child = VirtualPid();
  if (parent->state == RunState::kInVfork) {
    resume(*parent, StoppedTracee(tid));
  }
}

void Tracer::start_child(Task& task, StoppedTracee tracee) {
  if (task.settid_address != 0) {
    // With CLONE_CHILD_SETTID the kernel has written, or was kept from writing, the host's id there.
    (void)tracee.memory().write(task.settid_address, &task.vtid, sizeof(pid_t));
    task.settid_address = 0;
  }
  restore_registers_of_child(task, tracee);
  if (holding_) {
    hold(task, std::move(tracee), 0);
    return;
  }
  task.state = RunState::kRunning;
  std::move(tracee).resume(Resume::kContinue);
}

// A child starts with its parent's registers, as they were in the call.
void Tracer::restore_registers_of_child(Task& task, StoppedTracee& tracee) {
  const bool changed =
      std::any_of(task.entry_args.begin(), task.entry_args.end(), [](const auto& arg) { return !!arg; });
  user_regs_struct* regs = changed || task.filters != nullptr ? tracee.regs() : nullptr;
  if (regs == nullptr) {
    return;
  }
  for (std::size_t i = 0; i < task.entry_args.size(); ++i) {
    if (task.entry_args[i]) {
      arg_register(*regs, i) = *task.entry_args[i];
      task.entry_args[i].reset();
    }
  }
  if (regs->rip == kAgentCallAddress) {
    regs->rip = regs->rcx;  // where the processor's syscall instruction put the address behind it
  }
  tracee.set_regs_changed();
}

void Tracer::on_exec(Task& stopped, StoppedTracee tracee) {
  const auto message = tracee.event_message();
  if (!message) {
    return;
  }
  Task* task = &stopped;
  const auto former = HostPid(static_cast<pid_t>(*message));
  const HostPid leader = tracee.tid();
  if (const Task* caller = shared_.tasks.find(former)) {
    pi_waiters_.died(former, caller->vtid);  // as a thread it has ended
  }
  if (former != leader) {
    // The event comes under the leader's id; the table still has the caller under its own.
    Task* caller = shared_.tasks.find(former);
    if (caller != nullptr) {
      const VirtualPid vpid = caller->process->vpid;
      shared_.tasks.become_leader(former, leader, vpid);
      shared_.pids.release(former);
      task = shared_.tasks.find(leader);
    }
  }
  const std::unique_ptr<CallInProgress> call = std::move(task->call);
  task->escalated.store(-1, std::memory_order_relaxed);
  task->escalated_to_pass = false;
  task->settid_address = 0;
  if (task->mask_after_call) {
    tracee.set_signal_mask(*task->mask_after_call);
    task->mask_after_call.reset();
  }
  Process& process = *task->process;
  if (call != nullptr) {
    release_slots(*task, call->slots);  // a parent in vfork(2) goes on with the old address space
  }
  {
    const std::unique_lock lock(shared_.tasks.mutex());
    process.space = std::make_shared<AddressSpace>();
    process.dumpable_cleared = false;
  }
  const bool filtered = task->filters != nullptr;
  const AgentMapping mapping = map_agent_at_exec(tracee, *process.space, shared_.clock_offsets, filtered);
  process.unreadable = mapping == AgentMapping::kUnreadable;
  if (call != nullptr && mapping == AgentMapping::kMapped) {
    call->executed(tracee, filtered);
  }
  if (call != nullptr && call->traced != nullptr) {
    shared_.trace.end(*call->traced, tracee.memory(), 0);
  }
  resume(*task, std::move(tracee));
  end_vfork(process);
}

void Tracer::on_signal(Task& task, StoppedTracee tracee, int signal) {
  if (task.call != nullptr && task.call->in_agent() != nullptr) {
    const auto info = tracee.siginfo();
    const bool faulted = (signal == SIGSEGV || signal == SIGBUS) && info && info->si_code > 0;
    leave_agent(task, tracee, faulted);
    if (faulted) {
      resume(task, std::move(tracee));
      return;
    }
  }
  const Interrupted interrupted =
      task.mask_after_call ? Interrupted::kAsNatively : interrupted_unanswered(shared_, task, tracee);
  if (interrupted != Interrupted::kAsNatively) {
    user_regs_struct* regs = tracee.regs();
    if (regs != nullptr && (interrupted == Interrupted::kSignalFirst || changes_job_state(signal))) {
      // Queued anew it would undo what has been asked for since, a stop or a continuation (kernel/signal.c,
      // prepare_signal). As the call has not begun, a handler may as well run before it.
      regs->rax = static_cast<std::uint64_t>(kRestartNoIntr);
      tracee.set_regs_changed();
    } else {
      // Blocked, the signal is queued anew by the kernel, with all that it says (kernel/signal.c, ptrace_signal).
      task.mask_after_call = tracee.signal_mask();
      if (task.mask_after_call && tracee.set_signal_mask(~0ULL)) {
        resume(task, std::move(tracee), signal);
        return;
      }
    }
  }
  note_restart(task, tracee);
  if (task.call != nullptr && !task.call->entered && catches(task.tid, signal)) {
    undo_timed_restart(task, tracee);
    task.timed_restart.reset();  // the handler ends the call
  }
  if (user_regs_struct* regs = tracee.regs();
      regs != nullptr && static_cast<std::int64_t>(regs->rax) == -EINTR &&
      shows_stop_as_eintr(static_cast<long>(regs->orig_rax)) &&
      !deadline_of(static_cast<long>(regs->orig_rax), *regs, tracee.memory(), nullptr) && ignores(task.tid, signal)) {
    // A signal that the kernel drops unless there is a tracer (kernel/signal.c sig_ignored): no call would have noticed
    // it.
    regs->rax = static_cast<std::uint64_t>(kRestartNoHandler);
    tracee.set_regs_changed();
  }
  if (signal == SIGSYS && task.filters != nullptr && task.filters->strict) {
    end_strict_task(task, std::move(tracee));
    return;
  }
  translate_delivered_signal(shared_, tracee);
  resume(task, std::move(tracee), signal);
}

}  // namespace beam::interpose
