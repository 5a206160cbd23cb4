// Seccomp filters of the program's own (seccomp(2), prctl(PR_SET_SECCOMP)), installed on top of Beam's.
//
// A program's filter is installed with a prefix that lets the agent's gadget pass, or injected calls would be judged by it,
// and without actions that would reach the sandbox's tracer: to the program nobody traces it. Strict mode, which the kernel
// refuses to a task that has a filter, becomes a filter too.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <vector>

#include "interpose/call.h"

namespace beam::interpose {

// Does SECCOMP_SET_MODE_STRICT or SECCOMP_SET_MODE_FILTER at the entry stop of seccomp(2) or prctl(2). `mode_arg` and
// `mode` say which argument chooses the filter mode, and how; the program is the third argument of both.
Rewrite set_own_strict_mode(RewriteCall& call, std::size_t mode_arg, std::uint64_t mode);
Rewrite set_own_filter(RewriteCall& call, std::uint64_t program, bool may_name_a_thread);

// A signal-delivery stop for SIGSYS that strict mode's filter asked for: the task is to end as strict mode ends one.
[[nodiscard]] bool broke_strict_mode(const Task& task, const siginfo_t& info);
// The signal to resume such a task with.
int end_in_strict_mode(const Task& task, StoppedTracee& tracee);

// The program as it is installed. Empty when it does not fit.
[[nodiscard]] std::vector<sock_filter> wrap_own_filter(const std::vector<sock_filter>& program);

}  // namespace beam::interpose
