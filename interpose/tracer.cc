#include "interpose/tracer.h"

#include <sched.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "interpose/agent.h"
#include "interpose/clone.h"
#include "interpose/interrupted.h"
#include "interpose/proc_stat.h"
#include "interpose/reveal.h"
#include "interpose/robust_list.h"
#include "interpose/signal_info.h"
#include "interpose/syscall_table.h"
#include "interpose/timed_call.h"

namespace beam::interpose {
namespace {

// Interrupts the event thread's wait. Chosen from the real-time range, whose upper end no library claims.
int wake_signal() {
  return SIGRTMAX - 1;
}

// What the filters see of a call by the agent: the address behind its instruction.
constexpr std::uint64_t kAgentCallAddress = BEAM_AGENT_GADGET + 2;

constexpr int kSyscallStop = SIGTRAP | 0x80;  // PTRACE_O_TRACESYSGOOD

bool is_group_stop_signal(int signal) {
  return signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
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
// The kernel does it, and the trace wants its result.
struct PassedCall : CallInProgress {
  void at_exit(ExitCall& /*call*/) override {}
};

// Whoever gets a child after its parent's death (prctl(2), PR_SET_CHILD_SUBREAPER) sleeps elsewhere or runs; a parent
// that has still to report it runs, or stands in that very call.
bool may_be_forking(HostPid tid) {
  std::ifstream file("/proc/" + std::to_string(tid.value()) + "/syscall");
  long number = -1;
  if (!(file >> number)) {
    return file.is_open();  // "running"
  }
  return number == SYS_fork || number == SYS_vfork || number == SYS_clone || number == SYS_clone3;
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
      // From here on the call is the kernel's, and may wait for long (a FIFO without a partner): signals end it, as ever.
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
  // Beam's own filter would have an escalated call go through an answer thread once more, where a signal can interrupt it:
  // one after the other, they would keep it from ever being made.
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
  // Blocked, the signal is queued anew by the kernel, with all that it says (kernel/signal.c, ptrace_signal).
  if (!task.mask_after_call && interrupted_unanswered(shared_, task, tracee)) {
    task.mask_after_call = tracee.signal_mask();
    if (task.mask_after_call && tracee.set_signal_mask(~0ULL)) {
      resume(task, std::move(tracee), signal);
      return;
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

void Tracer::on_exit_event(Task& task, StoppedTracee tracee) {
  task.exiting = true;
  task.call.reset();
  mark_robust_futexes(task, tracee.memory(), pi_waiters_.any());
  pi_waiters_.died(task.tid, task.vtid);
  std::move(tracee).resume(Resume::kContinue);
  if (task.tid == task.process->host) {
    end_vfork(*task.process);
  }
}

void Tracer::on_death(HostPid tid, int status) {
  early_.erase(tid);
  Task* task = shared_.tasks.find(tid);
  if (task == nullptr) {
    const auto process = shared_.tasks.process(tid);
    if (process != nullptr) {
      // A zombie whose parent has died came to the supervisor, the reaper of those that no init of the sandbox takes.
      shared_.pids.release(tid);
      shared_.tasks.remove_process(tid);
      shared_.proc->process_is_gone(process->vpid);
    } else {
      early_dead_.insert(tid);
    }
    return;
  }
  const std::shared_ptr<Process> process = task->process;
  if (tid == process->host) {
    end_vfork(*process);
  }
  if (!task->exiting) {
    pi_waiters_.died(tid, task->vtid);  // killed without an exit event
  }
  shared_.tasks.remove(tid);
  if (tid != process->host) {
    shared_.pids.release(tid);
  } else if (process->threads > 0) {
    forget_lost_threads(process);
  }
  if (process->threads == 0) {
    on_process_death(process, status);
  }
  adopt_orphans_of_dead_parents();
}

// A leader is reported only when all its threads have been. One that is still in the table was killed in an exec after
// it had taken over the leader's id and before it could say so: its old id never reports anything.
void Tracer::forget_lost_threads(const std::shared_ptr<Process>& process) {
  std::vector<HostPid> lost;
  for (const auto& [tid, task] : shared_.tasks.tasks()) {
    if (task->process == process) {
      lost.push_back(tid);
    }
  }
  for (const HostPid tid : lost) {
    pi_waiters_.died(tid, shared_.tasks.find(tid)->vtid);
    shared_.tasks.remove(tid);
    shared_.pids.release(tid);
  }
}

void Tracer::on_process_death(const std::shared_ptr<Process>& process, int status) {
  shared_.sysv.forget_undo(process->host);
  {
    const std::unique_lock lock(shared_.tasks.mutex());
    for (const auto& [host, other] : shared_.tasks.processes()) {
      if (other->parent == process->host) {
        other->parent_known = false;
      }
    }
  }
  const bool ours = process->spawned;
  if (ours) {
    shared_.pids.retire(process->host);
    shared_.tasks.remove_process(process->host);
    shared_.proc->process_is_gone(process->vpid);
    shared_.observer.on_exit(process->vpid, status);
  } else if (++zombies_ > zombie_limit_) {
    sweep_zombies();
  }
  if (shared_.tasks.tasks().empty()) {
    shared_.observer.on_empty();
  }
}

// Zombies leave the table when their parent's wait returns them; those that nobody waits for (SIGCHLD ignored, parent
// dead) are looked for now and then.
void Tracer::sweep_zombies() {
  std::vector<HostPid> gone;
  for (const auto& [host, process] : shared_.tasks.processes()) {
    if (process->threads == 0) {
      const auto stat = read_proc_stat(host);
      if (!stat || stat->state != 'Z') {
        gone.push_back(host);
      }
    }
  }
  for (const HostPid host : gone) {
    forget_zombie(host);
  }
  zombie_limit_ = 64 + 2 * zombies_;
}

void Tracer::forget_zombie(HostPid host) {
  const auto process = shared_.tasks.process(host);
  if (process == nullptr || process->threads != 0) {
    return;
  }
  shared_.tasks.remove_process(host);
  shared_.proc->process_is_gone(process->vpid);
  if (zombies_ > 0) {
    --zombies_;
  }
  if (::kill(-host.value(), 0) == 0 || errno == EPERM) {
    shared_.pids.retire(host);
  } else {
    shared_.pids.release(host);
  }
}

// True while a thread of this process may be in a call that makes a child, with the event still to come.
bool Tracer::could_report_child(const Process& process) const {
  return std::any_of(shared_.tasks.tasks().begin(), shared_.tasks.tasks().end(), [&](const auto& entry) {
    const Task& task = *entry.second;
    return task.process.get() == &process && task.state != RunState::kHeld && !task.exiting && may_be_forking(task.tid);
  });
}

// A parent that was killed inside fork never reports its child. The child says whose it is.
void Tracer::adopt_orphans_of_dead_parents() {
  if (early_.empty()) {
    return;
  }
  const std::vector<HostPid> waiting(early_.begin(), early_.end());
  for (const HostPid child : waiting) {
    const auto identity = read_proc_identity(child);
    if (!identity) {
      continue;
    }
    // While any task of the sandbox could still report it, its event may be on the way.
    const bool thread = identity->tgid != child;
    const HostPid relative = thread ? identity->tgid : identity->ppid;
    const auto process = shared_.tasks.process(relative);
    if (process != nullptr && could_report_child(*process)) {
      continue;
    }
    early_.erase(child);
    const VirtualPid vtid = shared_.pids.allocate(child);
    auto own = process;
    if (!thread || own == nullptr) {
      own = std::make_shared<Process>();
      own->host = identity->tgid;
      own->vpid = vtid;
      own->space = std::make_shared<AddressSpace>();
      shared_.tasks.add_process(own);
    }
    Task& task = shared_.tasks.add(child, vtid, own);
    start_child(task, StoppedTracee(child));
  }
}

void Tracer::kill_all() {
  killing_ = true;
  for (const auto& [tid, task] : shared_.tasks.tasks()) {
    ::kill(task->process->host.value(), SIGKILL);
  }
  for (const HostPid tid : early_) {
    ::kill(tid.value(), SIGKILL);
  }
}

}  // namespace beam::interpose
