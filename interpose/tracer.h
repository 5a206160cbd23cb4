// The event thread of a sandbox: the one tracer of all its tasks. It learns of every new task, exec, stop and death
// from waitpid(2), keeps the task table, and does the calls that need a stop.
//
// Holds: a task that the table knows runs under PTRACE_O_EXITKILL; every ptrace stop is followed by exactly one resume,
// by hold(), or by death. All of it runs on the event thread, but for post() and run_and_wait().
#pragma once

#include <pthread.h>
#include <sys/types.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "interpose/call.h"
#include "interpose/listener.h"
#include "interpose/pi_futex.h"
#include "interpose/shared.h"
#include "interpose/syscall_table.h"
#include "interpose/tracee.h"

namespace beam::interpose {

class Tracer {
 public:
  explicit Tracer(Shared& shared);
  ~Tracer();

  // When posted work may run: while the sandbox is held (interpose/quiesce.h) only what a held task waits for does.
  enum class When { kBetweenHolds, kAlways };
  // Runs `work` on the event thread soon; returns at once.
  void post(std::function<void(Tracer&)> work, When when = When::kBetweenHolds);
  // Runs `work` on the event thread and waits until it is done.
  void run_and_wait(const std::function<void(Tracer&)>& work);

  // --- on the event thread ---
  [[nodiscard]] Shared& shared() { return shared_; }
  Result<Spawned> spawn(const SpawnRequest& request);
  // The same, under a chosen virtual id, and held before its first instruction, with the agent still writable: what a
  // thaw builds on.
  Result<Task*> spawn_held(const SpawnRequest& request, VirtualPid vpid);
  void kill_all();
  // An answer thread hands a call over: stop the caller, and let its restarted call come here (see Answer::escalate).
  // `to_pass`: the kernel does it, but its result is wanted.
  void escalate(HostPid tid, long number, int listener, std::uint64_t notification, bool to_pass);
  void release_slots(Task& task, std::uint32_t slots);
  // Takes a stopped task out of a routine of the agent, if it is in one: afterwards its registers are the program's
  // own. Every use of a task's registers for more than resuming it begins with this.
  void leave_agent(Task& task, StoppedTracee& tracee, bool faulted = false);
  [[nodiscard]] PiWaiters& pi_waiters() { return pi_waiters_; }
  // A wait has returned this process to its parent: its ids are free, unless a group or session still carries them.
  void forget_zombie(HostPid host);

  // --- holding, for interpose/quiesce.h ---
  // Asks every task to stop, and from now on keeps it at the first stop where it is between two instructions of its
  // own.
  void begin_hold();
  // Nothing of a sandbox that is being made may run before the whole of it is there.
  void begin_hold_of_new_tasks() { holding_ = true; }
  void hold(Task& task, StoppedTracee tracee, int stop_signal);
  // Takes in an event that was waited for elsewhere.
  void take_event(HostPid tid, int status) { handle(tid, status); }
  // Takes in what has happened, without waiting; false when nothing had.
  bool take_events();
  // Lets every held task go on.
  void end_hold();
  [[nodiscard]] bool holding() const { return holding_; }
  // For timed_call.h: a held task's registers are as the program made its call.
  void undo_timed_restart(Task& task, StoppedTracee& tracee);
  // False while a new child waits for the event that tells whose it is.
  [[nodiscard]] bool all_children_known() const { return early_.empty(); }

 private:
  void run();
  Result<HostPid> start_process(const SpawnRequest& request);
  [[nodiscard]] unsigned message_traps_of(const SpawnRequest& request) const;
  Result<SpawnRequest> in_view(const SpawnRequest& request) const;
  Task& add_spawned(HostPid host, VirtualPid vpid, unsigned message_traps);
  bool drain_posted();
  void request_hold(const Task& task) const;
  void handle(HostPid tid, int status);
  void on_event_stop(Task& task, StoppedTracee tracee, int signal);
  void on_new_child(Task& parent, StoppedTracee tracee);
  void wait_for_vfork_child(Task& parent, StoppedTracee tracee, Process& child);
  void end_vfork(Process& child);
  static void take_over(Task& task, std::unique_ptr<CallInProgress> fresh);
  void on_exec(Task& task, StoppedTracee tracee);
  void on_syscall_trace(Task& task, StoppedTracee tracee);
  void on_syscall_stop(Task& task, StoppedTracee tracee);
  void on_exit_event(Task& task, StoppedTracee tracee);
  void on_signal(Task& task, StoppedTracee tracee, int signal);
  void on_death(HostPid tid, int status);
  void forget_lost_threads(const std::shared_ptr<Process>& process);
  void on_process_death(const std::shared_ptr<Process>& process, int status);
  void enter_call(Task& task, StoppedTracee tracee);
  Rewrite answer_at_stop(const SyscallDeclaration& declaration, RewriteCall& call, const RawArgs& args);
  void pass_own_filters(Task& task, user_regs_struct& regs, StoppedTracee& tracee);
  void leave_call(Task& task, StoppedTracee& tracee);
  void end_strict_task(Task& task, StoppedTracee tracee);
  void unmask_after_call(Task& task, StoppedTracee& tracee);
  void start_child(Task& task, StoppedTracee tracee);
  static void note_restart(Task& task, StoppedTracee& tracee);
  void begin_timed_restart(Task& task, StoppedTracee& tracee);
  void keep_deadline(const CallInProgress& call, Task& task, std::int64_t result, const user_regs_struct& regs) const;
  static void restore_registers_of_child(Task& task, StoppedTracee& tracee);
  void resume(Task& task, StoppedTracee tracee, int signal = 0);
  void adopt_orphans_of_dead_parents();
  [[nodiscard]] bool could_report_child(const Process& process) const;
  void sweep_zombies();

  Shared& shared_;
  ListenerPool listeners_;
  PiWaiters pi_waiters_;
  std::mutex mutex_;
  std::condition_variable work_arrived_;
  struct Posted {
    std::function<void(Tracer&)> work;
    When when;
  };
  std::deque<Posted> posted_;
  bool quit_ = false;
  bool killing_ = false;
  bool holding_ = false;
  // Children whose first stop came before their parent's event, and those that died before it.
  std::unordered_set<HostPid> early_;
  std::unordered_set<HostPid> early_dead_;
  std::size_t zombies_ = 0;
  std::size_t zombie_limit_ = 64;
  std::thread thread_;
};

}  // namespace beam::interpose
