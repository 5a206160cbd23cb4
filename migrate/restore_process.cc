// Filling a stub: everything that makes it the process of the image, registers last.
#include <elf.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <thread>

#include "base/fault.h"
#include "interpose/agent/layout.h"
#include "interpose/signal_info.h"
#include "interpose/timed_call.h"
#include "migrate/extended_state.h"
#include "migrate/kernel_structs.h"
#include "migrate/proc_reader.h"
#include "migrate/restorer.h"

namespace beam::migrate {
namespace {

using interpose::StoppedTracee;
using interpose::Task;

constexpr long kMseal = 462;
constexpr int kSetMemoryMerge = 67;  // PR_SET_MEMORY_MERGE, since Linux 6.4

}  // namespace

Result<> Restorer::begin_fill(const ProcessState& process) {
  Task& leader = *leaders_.at(process.vpid);
  Remote remote(leader);
  remote.use_scratch(BEAM_AGENT_SLOTS, BEAM_AGENT_END - BEAM_AGENT_SLOTS);
  if (filled_spaces_.insert(process.address_space).second) {
    BEAM_TRY(fill_memory(remote, state_.address_spaces[process.address_space]));
  }
  if (fault_point("thaw.memory")) {
    return Error(EIO, "thaw: fault point");
  }
  return make_threads(process, leader);
}

Result<> Restorer::fill(const ProcessState& process) {
  Task& leader = *leaders_.at(process.vpid);
  Remote remote(leader);
  remote.use_scratch(BEAM_AGENT_SLOTS, BEAM_AGENT_END - BEAM_AGENT_SLOTS);
  const bool own_table = process.files_of == 0 || filled_tables_.insert(process.files_of).second;
  if (own_table) {
    BEAM_TRY(fill_descriptors(remote, process));
  }
  BEAM_TRY(enter_working_directory(remote, process));
  BEAM_TRY(set_process(remote, process, own_table));
  for (std::size_t i = 0; i < process.threads.size(); ++i) {
    if (!process.threads[i].exited) {
      Remote thread(i == 0 ? leader : *threads_.at(process.threads[i].vtid));
      thread.use_scratch(remote.scratch(), remote.scratch_size());
      BEAM_TRY(fill_thread(thread, process.threads[i]));
    }
  }
  BEAM_TRY(take_semaphores(remote, process));
  set_oom_score(process);
  return make_timers(remote, process);
}

Result<> Restorer::finish(const ProcessState& process) {
  Task& leader = *leaders_.at(process.vpid);
  Remote remote(leader);
  constexpr std::uint64_t kAgentSize = BEAM_AGENT_END - BEAM_AGENT_BASE;
  if (sealed_spaces_.insert(process.address_space).second) {
    BEAM_TRY(remote.call("protect the agent", SYS_mprotect, BEAM_AGENT_BASE, kAgentSize, PROT_READ | PROT_EXEC));
    BEAM_TRY(remote.raw_call(kMseal, BEAM_AGENT_BASE, kAgentSize, 0));  // ENOSYS before 6.10
  }
  for (const Limit& limit : process.limits) {
    rlimit64 value{limit.soft, limit.hard};
    rlimit64 now{};
    ::prlimit64(leader.tid.value(), static_cast<__rlimit_resource>(limit.resource), nullptr, &now);
    // A hard limit that is lower here than there stays, and bounds the soft one: only root could raise it.
    if (::prlimit64(leader.tid.value(), static_cast<__rlimit_resource>(limit.resource), &value, nullptr) != 0) {
      value.rlim_max = now.rlim_max;
      value.rlim_cur = std::min(limit.soft, now.rlim_max);
      ::prlimit64(leader.tid.value(), static_cast<__rlimit_resource>(limit.resource), &value, nullptr);
    }
  }
  if (fault_point("thaw.threads")) {
    return Error(EIO, "thaw: fault point");
  }
  BEAM_TRY(queue_signals(process));
  for (const ThreadState& thread : process.threads) {
    if (!thread.exited) {
      BEAM_TRY(set_registers(thread.vtid == process.vpid ? leader : *threads_.at(thread.vtid), thread));
    }
  }
  if (process.threads.front().exited) {
    BEAM_TRY(end_leader(leader, process.threads.front().exit_code));
  }
  return success();
}

Result<> Restorer::make_threads(const ProcessState& process, Task& leader) {
  for (const ThreadState& thread : process.threads) {
    if (thread.vtid == process.vpid) {
      continue;
    }
    constexpr std::uint64_t kThread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
    BEAM_TRY_ASSIGN(const HostPid tid, fork_from(leader, kThread));
    if (!tracer_.shared().pids.bind(tid, VirtualPid(thread.vtid))) {
      return Error(EEXIST, "give a thread the id " + std::to_string(thread.vtid));
    }
    Task& task = tracer_.shared().tasks.add(tid, VirtualPid(thread.vtid), leader.process);
    task.no_new_privs = leader.no_new_privs.load();
    tracer_.hold(task, StoppedTracee(tid), 0);
    threads_[thread.vtid] = &task;
  }
  return success();
}

Result<> Restorer::set_process(Remote& remote, const ProcessState& process, bool close_control) {
  Batch batch(remote);
  batch.add("set the umask", SYS_umask, process.umask);
  batch.add("set the personality", SYS_personality, process.personality);
  for (const SignalAction& action : process.actions) {
    const KernelSigaction value{action.handler, action.flags, action.restorer, action.mask};
    batch.add("set a signal's action", SYS_rt_sigaction, static_cast<std::uint64_t>(action.signal), batch.put(value), 0,
              sizeof(std::uint64_t));
  }
  if (close_control) {
    batch.add("close", SYS_close, static_cast<std::uint64_t>(control_fd_));
  }
  if (process.no_huge_pages) {
    batch.add("set the use of huge pages", SYS_prctl, PR_SET_THP_DISABLE, 1);
  }
  if (process.merge_memory) {
    batch.add("set the merging of memory", SYS_prctl, kSetMemoryMerge, 1);
  }
  if (process.locks_new_memory) {
    batch.add("lock memory from now on", SYS_mlockall,
              static_cast<std::uint64_t>(MCL_FUTURE | (process.locks_on_fault ? MCL_ONFAULT : 0)));
  }
  return batch.run();
}

Result<> Restorer::fill_thread(Remote& remote, const ThreadState& thread) {
  Batch batch(remote);
  std::array<char, 16> name{};
  thread.name.copy(name.data(), name.size() - 1);
  batch.add("set the name", SYS_prctl, PR_SET_NAME, batch.put(name));
  if (thread.signal_stack) {
    stack_t stack{};
    stack.ss_sp = reinterpret_cast<void*>(thread.signal_stack->address);  // NOLINT: an address of another process
    stack.ss_flags = thread.signal_stack->flags & ~SS_ONSTACK;            // which follows from the stack pointer
    stack.ss_size = thread.signal_stack->size;
    batch.add("set the signal stack", SYS_sigaltstack, batch.put(stack), 0);
  }
  if (thread.robust_list != 0) {
    batch.add("set the robust list", SYS_set_robust_list, thread.robust_list, thread.robust_list_size);
  }
  batch.add("set the tid address", SYS_set_tid_address, thread.clear_tid_address);
  if (thread.rseq) {
    batch.add("register restartable sequences", SYS_rseq, thread.rseq->address, thread.rseq->size, thread.rseq->flags,
              thread.rseq->signature);
  }
  const ThreadAttributes& attributes = thread.attributes;
  if (attributes.credentials) {
    set_credentials(batch, *attributes.credentials, attributes.secure_bits);
  } else if (attributes.secure_bits == SECBIT_KEEP_CAPS) {
    batch.add("set the secure bits", SYS_prctl, PR_SET_KEEPCAPS, 1);  // which takes no privilege
  } else if (attributes.secure_bits != 0) {
    batch.add("set the secure bits", SYS_prctl, PR_SET_SECUREBITS, attributes.secure_bits);
  }
  if (thread.parent_death_signal != 0) {  // which a change of credentials clears
    batch.add("set the parent's death signal", SYS_prctl, PR_SET_PDEATHSIG,
              static_cast<std::uint64_t>(thread.parent_death_signal));
  }
  if (attributes.timer_slack_ns) {
    batch.add("set the timer slack", SYS_prctl, PR_SET_TIMERSLACK, *attributes.timer_slack_ns);
  }
  if (attributes.time_stamp_counter) {
    batch.add("set the time stamp counter's mode", SYS_prctl, PR_SET_TSC, *attributes.time_stamp_counter);
  }
  if (attributes.memory_failure) {
    batch.add("set what a memory failure does", SYS_prctl, PR_MCE_KILL, PR_MCE_KILL_SET,
              static_cast<std::uint64_t>(*attributes.memory_failure), 0, 0);
  }
  BEAM_TRY(batch.run());
  return set_attributes(remote, attributes);
}

Result<> Restorer::set_registers(Task& task, const ThreadState& thread) {
  const std::string what = "registers of thread " + std::to_string(thread.vtid);
  BEAM_TRY_ASSIGN(const auto here, read_extended_state(task.tid));
  auto extended = adapt_extended(thread.extended, state_.extended_layout, here, extended_layout());
  if (!extended.ok()) {
    return Error(extended.error().code(), "extended " + what + ": " + extended.error().message())
        .remedy("thaw it on a processor like the one that it was frozen on");
  }
  iovec area{extended.value().data(), extended.value().size()};
  if (::ptrace(PTRACE_SETREGSET, task.tid.value(), NT_X86_XSTATE, &area) != 0) {
    return Error::from_errno("extended " + what);
  }
  StoppedTracee tracee(task.tid);
  user_regs_struct* regs = tracee.regs();
  if (regs == nullptr) {
    return Error(ESRCH, what);
  }
  std::memcpy(regs, thread.registers.data(), sizeof *regs);
  if (!thread.call) {
    regs->orig_rax = ~0ULL;
  } else {
    regs->orig_rax = static_cast<std::uint64_t>(thread.call->number);
    if (static_cast<std::int64_t>(regs->rax) == interpose::kRestartBlock) {
      regs->rax = static_cast<std::uint64_t>(interpose::kRestartNoHandler);  // only the old kernel had the block
    }
    if (thread.call->remaining_ns) {
      task.timed_restart =
          state_.clocks.monotonic_ns - tracer_.shared().clock_offsets.monotonic_ns + *thread.call->remaining_ns;
    }
  }
  if (const auto child = leaders_.find(thread.vfork_child); thread.vfork_child != 0 && child != leaders_.end()) {
    task.vfork_child = VirtualPid(thread.vfork_child);
    child->second->process->vfork_parent = task.tid;
  }
  tracee.set_regs_changed();
  if (!tracee.flush_regs() || !tracee.set_signal_mask(thread.signal_mask)) {
    return Error::from_errno("set the " + what);
  }
  return success();
}

Result<> Restorer::queue_signals(const ProcessState& process) {
  const pid_t host = leaders_.at(process.vpid)->tid.value();
  const auto queue = [&](std::vector<std::uint8_t> bytes, pid_t thread) -> Result<> {
    siginfo_t info{};
    std::memcpy(&info, bytes.data(), sizeof info);
    info.si_code = interpose::translated_code(info.si_code);
    const long sent = thread == 0 ? ::syscall(SYS_rt_sigqueueinfo, host, info.si_signo, &info)
                                  : ::syscall(SYS_rt_tgsigqueueinfo, host, thread, info.si_signo, &info);
    return sent == 0 ? success() : Result<>(Error::from_errno("queue signal " + std::to_string(info.si_signo)));
  };
  for (const auto& info : process.pending) {
    BEAM_TRY(queue(info, 0));
  }
  for (const ThreadState& thread : process.threads) {
    const pid_t tid = thread.vtid == process.vpid ? host : threads_.at(thread.vtid)->tid.value();
    for (const auto& info : thread.pending) {
      BEAM_TRY(queue(info, tid));
    }
  }
  return success();
}

// The leader of a thread group that has exited before its threads stays as a zombie, which only its state tells.
Result<> Restorer::end_leader(Task& leader, int exit_code) {
  StoppedTracee tracee(leader.tid);
  user_regs_struct* regs = tracee.regs();
  if (regs == nullptr) {
    return Error(ESRCH, "end the leader of process " + std::to_string(leader.vtid.value()));
  }
  regs->rip = BEAM_AGENT_GADGET;
  regs->rax = SYS_exit;
  regs->orig_rax = ~0ULL;
  regs->rdi = static_cast<std::uint64_t>(WEXITSTATUS(exit_code));
  tracee.set_regs_changed();
  tracee.flush_regs();
  ::ptrace(PTRACE_CONT, leader.tid.value(), nullptr, nullptr);
  int status = 0;
  while (::waitpid(leader.tid.value(), &status, __WALL) < 0 && errno == EINTR) {
  }
  leader.exiting = true;
  leader.state = interpose::RunState::kRunning;
  ::ptrace(PTRACE_CONT, leader.tid.value(), nullptr, nullptr);
  for (;;) {
    BEAM_TRY_ASSIGN(const auto stat, ProcStatFields::read(leader.tid));
    if (stat.state() == 'Z') {
      return success();
    }
    std::this_thread::yield();
  }
}

// One thread takes the signal, the others join the group's stop before their next instruction.
Result<> Restorer::stop(const ProcessState& process) {
  if (process.stop_signal == 0 && !process.continued) {
    return success();
  }
  const std::string what = "stop process " + std::to_string(process.vpid);
  std::vector<Task*> tasks;
  for (const ThreadState& thread : process.threads) {
    if (!thread.exited) {
      tasks.push_back(thread.vtid == process.vpid ? leaders_.at(process.vpid) : threads_.at(thread.vtid));
    }
  }
  const int signal = process.stop_signal != 0 ? process.stop_signal : SIGSTOP;
  const pid_t host = leaders_.at(process.vpid)->process->host.value();
  if (tasks.empty() || !StoppedTracee(tasks.front()->tid).set_signal_mask(~(1ULL << (signal - 1))) ||
      ::kill(host, signal) != 0) {
    return Error::from_errno(what);
  }
  for (Task* task : tasks) {
    BEAM_TRY(to_group_stop(*task, what));
    tracer_.hold(*task, StoppedTracee(task->tid), process.stop_signal);
  }
  if (process.stop_signal == 0 && ::kill(host, SIGCONT) != 0) {
    return Error::from_errno("continue process " + std::to_string(process.vpid));
  }
  const auto parent = leaders_.find(process.parent);
  if (process.adopted || parent == leaders_.end()) {
    return success();
  }
  Remote remote(*parent->second);
  if (process.stop_waited_for) {
    BEAM_TRY(remote.raw_call(SYS_waitid, P_PID, static_cast<std::uint64_t>(host), 0, WSTOPPED | WNOHANG | __WALL));
  }
  remote.use_scratch(BEAM_AGENT_SLOTS, BEAM_AGENT_END - BEAM_AGENT_SLOTS);
  return drop_signals(remote);
}

Result<> Restorer::to_group_stop(const Task& task, const std::string& what) {
  const pid_t tid = task.tid.value();
  if (::ptrace(PTRACE_CONT, tid, nullptr, nullptr) != 0) {
    return Error::from_errno(what);
  }
  for (;;) {
    int status = 0;
    const pid_t got = ::waitpid(tid, &status, __WALL);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0 || !WIFSTOPPED(status)) {
      return Error(ESRCH, what);
    }
    if ((status >> 16) == PTRACE_EVENT_STOP && WSTOPSIG(status) != SIGTRAP) {
      return success();
    }
    ::ptrace(PTRACE_CONT, tid, nullptr, static_cast<std::uint64_t>((status >> 16) == 0 ? WSTOPSIG(status) : 0));
  }
}

}  // namespace beam::migrate
