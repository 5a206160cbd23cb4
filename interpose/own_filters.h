// A program's own seccomp filters (seccomp(2), prctl(2) PR_SET_SECCOMP): what was installed, for a freeze and for
// /proc, and how it is changed before the kernel gets it.
//
// Where a program's filter refuses a call, the changed one lets it through after all
//   - from the agent's code: Beam injects calls there which the program never made, and shows such an address to the
//   kernel
//     for a call whose arguments it has translated (the program's own ones have been judged);
//   - when it is restart_syscall(2): stops by the tracer cause more of these than there would be natively.
// And since no sandbox has a tracer of its own, SECCOMP_RET_TRACE becomes what it means without one, ENOSYS.
// Refusals jump to a common end; a call that is allowed costs nothing more, and stays one whose verdict the kernel
// caches.
#pragma once

#include <linux/filter.h>

#include <memory>
#include <vector>

namespace beam::interpose {

struct OwnFilter {
  std::vector<sock_filter> program;  // as the program gave it
  unsigned flags = 0;                // of seccomp(2)
};

// Of a thread; shared by those that inherited it, so never changed once it is set. Null stands for none.
struct OwnFilters {
  bool strict = false;                                 // SECCOMP_MODE_STRICT, kept by a filter
  std::vector<std::shared_ptr<const OwnFilter>> list;  // oldest first
};

// Empty when the kernel would refuse the program. May come out longer than BPF_MAXINSNS.
[[nodiscard]] std::vector<sock_filter> rewrite_own_filter(const std::vector<sock_filter>& program);
// What SECCOMP_MODE_STRICT allows; all else traps, and the event thread makes it SIGKILL.
[[nodiscard]] std::vector<sock_filter> strict_filter();

}  // namespace beam::interpose
