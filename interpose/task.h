// Threads and processes of the sandbox, as far as the interposer must remember what the kernel will not tell later.
//
// Owns: nothing outside itself. Changed by the event thread only, under TaskTable's mutex; answer threads read under
// it.
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/ids.h"
#include "interpose/agent/layout.h"
#include "interpose/own_filters.h"
#include "interpose/unread_memory.h"

namespace beam::interpose {

class CallInProgress;

// One address space, shared by the threads of a process and by CLONE_VM children until they exec.
struct AddressSpace {
  bool agent_mapped = false;
  std::uint64_t kernel_vdso = 0;   // where the kernel's own vDSO stands
  std::uint32_t slots_in_use = 0;  // one bit a slot of the agent's pages
  // What is still to be read from the image of a thawed sandbox. Changed under the task table's mutex.
  std::optional<UnreadMemory> unread;
};

struct Process {
  HostPid host;
  VirtualPid vpid;
  // The parent as the kernel has it, refreshed when that one dies; 0 when it is outside the sandbox.
  HostPid parent;
  bool parent_known = false;
  // It has called one of setuid(2)'s family or capset(2): until then its credentials are the supervisor's own.
  std::atomic<bool> credentials_changed{false};
  bool spawned = false;                       // by Engine::spawn: its end is reported to the observer
  std::atomic<bool> dumpable_cleared{false};  // prctl(PR_SET_DUMPABLE, 0), kept in the view only
  // Its memory is closed to the supervisor until its first system call (reveal.h); and while that call opens it.
  bool unreadable = false;
  std::atomic<bool> revealing{false};
  // Descriptor numbers whose reads are trapped, as they were signalfds at one time (sys_signalfd.cc). Copied by fork,
  // kept by exec, as the filters are that trap them.
  std::vector<int> trapped_reads;
  // Which calls that carry messages are trapped (message_traps.h). Kept by fork and exec likewise.
  std::atomic<unsigned> message_traps{0};
  // With a mount view: the umask as far as it is known (-1: to be asked of the kernel), and the root of chroot(2).
  std::atomic<int> umask{-1};
  [[nodiscard]] std::string view_root() const {
    const std::lock_guard lock(root_mutex);
    return root;
  }
  void set_view_root(std::string path) {
    const std::lock_guard lock(root_mutex);
    root = std::move(path);
  }
  mutable std::mutex root_mutex;
  std::string root = "/";
  std::shared_ptr<AddressSpace> space;
  std::atomic<bool> landlocked{false};  // it has Landlock rules of its own, which nobody can read back
  HostPid vfork_parent;                 // the task that waits in vfork(2) for this process
  std::atomic<int> threads{0};
};

enum class RunState {
  kNew,  // known from its parent's event, first stop not seen yet
  kRunning,
  kGroupStop,  // listening in a group stop
  kHeld,       // kept stopped by the interposer (quiesce)
  kInVfork,    // kept stopped until its child executes a program or ends
};

struct Task {
  HostPid tid;
  VirtualPid vtid;
  std::shared_ptr<Process> process;
  std::atomic<RunState> state{RunState::kNew};  // answer threads read it for /proc
  int held_stop_signal = 0;                     // held in a group stop by this signal; 0: it was running
  // A system call between its entry and its exit stop.
  std::unique_ptr<CallInProgress> call;
  // The number of a call that the answer threads handed over (Answer::escalate), from then until its restart has come
  // through the filter; -1: none. A signal handler's calls may come in between.
  std::atomic<long> escalated{-1};
  // That call is the kernel's to do: it was handed over only for its result to be seen (--trace).
  bool escalated_to_pass = false;
  // A signal waits until the call that it interrupted has been answered: the mask to set then
  // (interpose/interrupted.h).
  std::optional<std::uint64_t> mask_after_call;
  // The program's own filters; null: none. Changed under the table's mutex.
  std::shared_ptr<const OwnFilters> filters;
  // What prctl(2) PR_GET_NO_NEW_PRIVS says: the program's own doing. To the kernel every task of the sandbox has it
  // set.
  std::atomic<bool> no_new_privs{false};
  // Of a new task: argument registers that its parent's call had changed, to be put back before it runs.
  std::array<std::optional<std::uint64_t>, 6> entry_args;
  std::uint64_t settid_address = 0;  // where its first stop has to write its virtual tid
  bool exiting = false;              // past its exit event
  VirtualPid vfork_child;            // the process that it waits for in vfork(2), or with CLONE_VFORK; 0: none
  // What the kernel goes on with by restart_syscall(2), and when it times out, as far as that is known (timed_call.h).
  struct Restarting {
    long number = -1;
    std::optional<std::int64_t> deadline_ns;  // CLOCK_MONOTONIC
  };
  Restarting restarting;
  // The call that it is held in is made again, and times out then.
  std::optional<std::int64_t> timed_restart;
};

// What answer threads need of the caller, copied out so that no lock is held while a call is answered.
struct Caller {
  HostPid tid;
  VirtualPid vtid;
  std::shared_ptr<Process> process;
  long escalated = -1;
};

class TaskTable {
 public:
  TaskTable();
  ~TaskTable();

  [[nodiscard]] std::optional<Caller> caller(HostPid tid) const;
  [[nodiscard]] std::shared_mutex& mutex() const { return mutex_; }

  // For the event thread, which alone changes the table and so may look without the lock.
  [[nodiscard]] Task* find(HostPid tid) const;
  [[nodiscard]] std::shared_ptr<Process> process(HostPid host) const;
  Task& add(HostPid tid, VirtualPid vtid, std::shared_ptr<Process> process);
  void remove(HostPid tid);
  // exec in a thread: the task takes over the leader's id, and every other task of the process is gone.
  void become_leader(HostPid old_tid, HostPid leader, VirtualPid leader_vtid);
  [[nodiscard]] const std::unordered_map<HostPid, std::unique_ptr<Task>>& tasks() const { return tasks_; }
  [[nodiscard]] const std::unordered_map<HostPid, std::shared_ptr<Process>>& processes() const { return processes_; }
  void add_process(const std::shared_ptr<Process>& process);
  void remove_process(HostPid host);
  [[nodiscard]] bool empty() const { return tasks_.empty() && processes_.empty(); }

 private:
  mutable std::shared_mutex mutex_;
  std::unordered_map<HostPid, std::unique_ptr<Task>> tasks_;
  std::unordered_map<HostPid, std::shared_ptr<Process>> processes_;
};

}  // namespace beam::interpose
