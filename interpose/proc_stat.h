// What /proc tells about a host process (proc(5)).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>

#include "base/ids.h"
#include "base/result.h"

namespace beam::interpose {

struct ProcStat {
  char state = '?';
  HostPid ppid;
  HostPid pgrp;
  HostPid session;
};
// /proc/PID/stat; nothing when there is no such process.
[[nodiscard]] std::optional<ProcStat> read_proc_stat(HostPid pid);

// Where the process's stack began at its exec, with argc on top: field 28 of /proc/PID/stat. Nothing when it is hidden.
[[nodiscard]] std::optional<std::uint64_t> read_proc_start_stack(HostPid pid);

struct ProcIdentity {
  HostPid tgid;
  HostPid ppid;
};
// The Tgid and PPid lines of /proc/TID/status.
[[nodiscard]] std::optional<ProcIdentity> read_proc_identity(HostPid tid);

struct ProcCredentials {
  uid_t real = 0;
  uid_t effective = 0;
  uid_t saved = 0;
  bool may_kill = false;        // CAP_KILL is effective
  bool may_administer = false;  // CAP_SYS_ADMIN is
};
[[nodiscard]] std::optional<ProcCredentials> read_proc_credentials(HostPid tid);
// One bit a signal that has a handler, signal 1 lowest.
[[nodiscard]] std::optional<std::uint64_t> read_proc_caught_signals(HostPid pid);
[[nodiscard]] std::optional<std::uint64_t> read_proc_blocked_signals(HostPid tid);
// The process that a pidfd of this process, or a descriptor of /proc/PID, is for (fdinfo, proc(5)). EBADF when it is
// neither, ESRCH when its process is gone.
Result<HostPid> pid_of_pidfd(int fd);

}  // namespace beam::interpose
