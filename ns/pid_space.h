// The PID space of a sandbox: virtual ids, unique and never reused while anything can still hold them, beside the host ids
// that realise them on this workstation. Threads and processes share one space, as in the kernel (pid_namespaces(7)).
//
// Always holds: at most one virtual id a live host id, and the reverse. A host id that still names a process group or a
// session after its leader has died keeps its entry (the kernel does not reuse the number either, kernel/pid.c).
// Safe to use from any thread.
#pragma once

#include <deque>
#include <shared_mutex>
#include <unordered_map>
#include <vector>

#include "base/ids.h"

namespace beam::ns {

class PidSpace {
 public:
  // `limit` is exclusive, as /proc/sys/kernel/pid_max is; numbering wraps below it, to `kFirstAfterWrap`.
  explicit PidSpace(pid_t limit = 4194304);

  // Gives `host` the next free virtual id. A stale entry for a reused host id is dropped first.
  VirtualPid allocate(HostPid host);
  // Gives `host` a chosen virtual id (thaw). False when that id is taken by another live host id.
  [[nodiscard]] bool bind(HostPid host, VirtualPid virtual_pid);
  // The task is gone. Records that outlive it (msgctl's last sender, a lock's owner) are still translated for a while, but
  // nothing can be reached by its id any more.
  void release(HostPid host);
  // The process has died but its id still names a group or a session: translated on, until the host id is used again.
  void retire(HostPid host);

  // A host id that stood for a virtual one for a moment, and is gone (a thaw connects sockets in processes' names): records
  // of it are translated until a task of the sandbox has that id.
  void alias(HostPid host, VirtualPid virtual_pid);

  // 0 when unknown: outside the sandbox.
  [[nodiscard]] VirtualPid to_virtual(HostPid host) const;
  [[nodiscard]] HostPid to_host(VirtualPid virtual_pid) const;
  // The id that allocate() would give last: what /proc/loadavg shows.
  [[nodiscard]] VirtualPid last() const;
  // Numbering continues after `last` (thaw).
  void set_last(VirtualPid last);

 private:
  static constexpr pid_t kFirstAfterWrap = 300;  // RESERVED_PIDS of kernel/pid.c
  static constexpr std::size_t kRememberedDead = 1024;
  void drop(HostPid host);
  void purge_retired();

  mutable std::shared_mutex mutex_;
  std::unordered_map<HostPid, VirtualPid> to_virtual_;
  std::unordered_map<VirtualPid, HostPid> to_host_;
  std::vector<HostPid> retired_;
  std::unordered_map<HostPid, VirtualPid> dead_;
  std::deque<HostPid> dead_order_;  // oldest first
  std::unordered_map<HostPid, VirtualPid> aliases_;
  pid_t last_ = 0;
  pid_t limit_;
};

}  // namespace beam::ns
