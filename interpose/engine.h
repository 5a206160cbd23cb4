// The interposer of one sandbox: starts processes in it, keeps them in its views, and tells an observer what ends.
//
// Owns: the event thread (the only thread that may use ptrace on the sandbox's tasks, ptrace(2)), the answer threads of
// the seccomp listeners (seccomp_unotify(2)), the task table and the PID space. Holds: every process of the sandbox is
// seized with PTRACE_O_EXITKILL from before its first instruction, so nothing lives on when this process ends. All
// public functions may be called from any thread but the event thread, unless they say otherwise.
#pragma once

#include <signal.h>
#include <sys/resource.h>
#include <sys/types.h>

#include <array>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "ns/host_names.h"
#include "rootfs/view_options.h"

namespace beam::ns {
class NetworkSpace;
}

namespace beam::interpose {

class BackgroundReader;
class Tracer;
struct Shared;

// What an engine tells its owner. Called from the event thread: must return quickly and must not call the engine back.
class Observer {
 public:
  virtual ~Observer() = default;
  // A process that spawn() started has ended. `wait_status` as of waitpid(2).
  virtual void on_exit(VirtualPid pid, int wait_status) = 0;
  // The last process of the sandbox has ended.
  virtual void on_empty() = 0;
  // A process, any one, was stopped by `signal` (as by SIGTSTP), or goes on after such a stop.
  virtual void on_stop(VirtualPid /*pid*/, int /*signal*/) {}
  virtual void on_continue(VirtualPid /*pid*/) {}
};

struct EngineOptions {
  // The mount view; none: paths are the workstation's.
  std::optional<rootfs::ViewOptions> view;
  // The network; null: the workstation's.
  std::shared_ptr<ns::NetworkSpace> network;
  bool outside = true;    // with a network of its own: whether what is outside can be reached
  std::string host_name;  // what uname(2) shows; empty: the workstation's own
  // What the sandboxes of the group are called, for /etc/hosts: asked at each open of it. None: the workstation's file.
  std::function<std::vector<ns::HostName>()> names;
  int trace_fd = -1;  // where --trace lines go; not owned; -1: no trace
  // Where the private directory of /proc's listings is made; empty: $XDG_RUNTIME_DIR, /dev/shm or /tmp.
  std::string scratch_directory;
  std::vector<std::string> trace_classes;  // empty: every interposed call (strace's words: process, file, signal, ...)
};

// A new process at the root of the sandbox's tree: its parent shows as pid 0.
struct SpawnRequest {
  std::string path;  // the executable, as execve(2) takes it
  std::vector<std::string> argv;
  std::vector<std::string> envp;
  std::string working_directory;
  std::array<int, 3> stdio{0, 1, 2};  // the supervisor's descriptors that become 0, 1 and 2; not consumed
  std::vector<int> inherit;           // further descriptors that stay open, at 3, 4, ... in this order; not consumed
  bool new_session = true;            // setsid(2) first
  bool controlling_terminal = false;  // the first terminal among stdio becomes the controlling one of the new session
  mode_t umask = 022;
  // Files that the process and its descendants may execute and map though the mount view does not have them.
  std::vector<std::string> executables;
  bool is_own = false;     // a program of Beam's, found on the workstation even where the mount view does not show it
  sigset_t signal_mask{};  // blocked signals
  sigset_t ignored_signals{};        // all others have their default action
  std::optional<rlimit> open_files;  // RLIMIT_NOFILE, where it is not to be this process's own
};

struct Spawned {
  VirtualPid pid;
  HostPid host_pid;
};

struct ThreadInfo {
  VirtualPid vtid;
  HostPid host_tid;
};

struct ProcessInfo {
  VirtualPid vpid;
  HostPid host_pid;
  VirtualPid parent;  // 0: none inside
  std::vector<ThreadInfo> threads;
};

class Engine {
 public:
  // Starts the threads. `observer` must outlive the engine.
  static Result<std::unique_ptr<Engine>> start(EngineOptions options, Observer& observer);
  // Kills what is left in the sandbox, waits for it, and joins the threads.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Returns when the executable runs. Error codes are execve's (ENOENT, EACCES, ENOEXEC, ...) or those of the failing
  // step.
  Result<Spawned> spawn(const SpawnRequest& request);
  // From outside the sandbox: the receiver sees si_pid 0. ESRCH when there is no such process.
  Result<> signal(VirtualPid pid, int signal);
  // SIGKILL for everything. on_empty follows.
  void kill_all();
  [[nodiscard]] std::vector<ProcessInfo> processes() const;
  [[nodiscard]] HostPid to_host(VirtualPid pid) const;
  [[nodiscard]] VirtualPid to_virtual(HostPid pid) const;

  // Runs `work` on the event thread, where ptrace may be used, and waits for it.
  void on_event_thread(const std::function<void(Tracer&)>& work);
  // Has memory that is still to be read from an image (unread_memory.h) read in while the sandbox runs on.
  void read_in_background();

 private:
  Engine();
  std::unique_ptr<Shared> shared_;
  std::unique_ptr<Tracer> tracer_;
  std::unique_ptr<BackgroundReader> reader_;
};

}  // namespace beam::interpose
