// The event thread's part in ends: of threads and processes, and what outlives them as zombies and orphans.
#include "interpose/tracer.h"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <string>
#include <utility>

#include "interpose/clone.h"
#include "interpose/proc_stat.h"
#include "interpose/robust_list.h"

namespace beam::interpose {
namespace {

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
      shared_.mq_notices.forget(tid);
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
    shared_.mq_notices.forget(process->host);
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
  if (::kill(host.value(), 0) == 0) {
    // The wait may have told an earlier piece of news (WUNTRACED, WCONTINUED) of one that has ended since.
    const auto stat = read_proc_stat(host);
    if (stat && stat->state == 'Z') {
      return;
    }
  }
  shared_.tasks.remove_process(host);
  shared_.mq_notices.forget(host);
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
    // With CLONE_PARENT its parent is its maker's.
    if (!thread && std::any_of(shared_.tasks.tasks().begin(), shared_.tasks.tasks().end(), [](const auto& entry) {
          const Task& task = *entry.second;
          return task.state != RunState::kHeld && !task.exiting && may_be_forking(task.tid);
        })) {
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
