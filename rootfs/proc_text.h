// The texts of /proc that carry process ids (proc(5)), from the workstation's own to the sandbox's: pure functions,
// which keep every byte that is no id, and give back a text that they do not understand with no id of the workstation
// in it.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"

namespace beam::rootfs {

// The virtual id of a host id, and 0 for what is outside.
using ToVirtual = std::function<VirtualPid(HostPid)>;

// What a task's stat and status say that the workstation's do not know.
struct ProcTask {
  VirtualPid id;       // of the task that the file is about
  VirtualPid process;  // its thread group
  VirtualPid parent;
  char state = 0;  // the letter to show; 0: the workstation's
  bool no_new_privs = false;
  int seccomp_mode = 0;  // the program's own: SECCOMP_MODE_*
  int seccomp_filters = 0;
};

// The letter of the state in a stat or a status; 0 when there is none.
[[nodiscard]] char proc_state(std::string_view host);
[[nodiscard]] std::string proc_stat_text(std::string_view host, const ProcTask& task, const ToVirtual& to_virtual);
[[nodiscard]] std::string proc_status_text(std::string_view host, const ProcTask& task, const ToVirtual& to_virtual);
// /proc/PID/task/TID/children: ids outside are left out; `more` ids are added to the end.
[[nodiscard]] std::string proc_children_text(std::string_view host, const std::vector<VirtualPid>& more,
                                             const ToVirtual& to_virtual);
[[nodiscard]] std::string proc_sched_text(std::string_view host, const ProcTask& task);
[[nodiscard]] std::string proc_timers_text(std::string_view host, const ToVirtual& to_virtual);
// The lines Pid and NSpid of a pidfd, and the owners of locks.
[[nodiscard]] std::string proc_fdinfo_text(std::string_view host, const ToVirtual& to_virtual);
// Locks whose owner is outside are left out, as the kernel leaves out those of another PID namespace.
[[nodiscard]] std::string proc_locks_text(std::string_view host, const ToVirtual& to_virtual);
// /proc/sysvipc/*: the columns whose titles end in "pid".
[[nodiscard]] std::string proc_sysvipc_text(std::string_view host, const ToVirtual& to_virtual);
// /proc/loadavg: the last field is the id that was given last.
[[nodiscard]] std::string proc_loadavg_text(std::string_view host, VirtualPid last);

}  // namespace beam::rootfs
