// What the event thread and the answer threads of one sandbox share.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "interpose/engine.h"
#include "interpose/inotify_queues.h"
#include "interpose/mq_notices.h"
#include "interpose/proc_view.h"
#include "interpose/socket_names.h"
#include "interpose/sysv_space.h"
#include "interpose/task.h"
#include "interpose/trace.h"
#include "interpose/watched_paths.h"
#include "ns/network_space.h"
#include "ns/pid_space.h"

namespace beam::rootfs {
class View;
}

namespace beam::interpose {

class RouteView;
class SocketNames;
class Tracer;

// What the sandbox's clocks are ahead of this workstation's, so that they go on over a freeze where they stopped.
struct ClockOffsets {
  std::int64_t monotonic_ns = 0;
  std::int64_t boottime_ns = 0;
};

struct Shared {
  Shared(EngineOptions engine_options, Observer& owner);
  ~Shared();

  const EngineOptions options;
  Observer& observer;
  TaskTable tasks;
  ns::PidSpace pids;
  SysvSpace sysv;
  Trace trace;
  std::unique_ptr<ProcView> proc;
  // Null: paths are the workstation's.
  std::unique_ptr<rootfs::View> view;
  std::unique_ptr<SocketNames> socket_names;  // with a view
  std::unique_ptr<RouteView> routes;          // with a network
  Tracer* tracer = nullptr;
  // Set before the first process is there.
  ClockOffsets clock_offsets;
  // Signals other than SIGCHLD that some clone(2) chose to be sent at its child's end: one bit each, signal 1 lowest.
  std::atomic<std::uint64_t> exit_signals{0};
  WatchedPaths watched_paths;
  InotifyQueues inotify_queues;
  MqNotices mq_notices;

  // The message traps (message_traps.h) that every process of the sandbox has from its start on.
  std::atomic<unsigned> message_traps{0};

  // The name that uname(2) shows; sethostname(2) changes it.
  [[nodiscard]] std::string host_name() const;
  void set_host_name(std::string name);
  // Likewise setdomainname(2); empty: the workstation's.
  [[nodiscard]] std::string domain_name() const;
  void set_domain_name(std::string name);

  // The host id for an argument of a call that the kernel then makes: what is no name of a task (0, negative) as it is,
  // and for a name that nothing in the sandbox has one that nothing has anywhere. So it is the kernel that refuses, in
  // its own order of checks.
  [[nodiscard]] pid_t host_argument(pid_t virtual_pid) const;

  // The process of the sandbox with this virtual pid (a thread's id names its process too, as kill(2) takes it), or
  // null.
  [[nodiscard]] std::shared_ptr<Process> process(VirtualPid vpid) const;
  // The virtual parent of a process: 0 for one that was started from outside.
  [[nodiscard]] VirtualPid parent_of(Process& process);

 private:
  mutable std::mutex name_mutex_;
  std::string host_name_;
  std::string domain_name_;
};

}  // namespace beam::interpose
