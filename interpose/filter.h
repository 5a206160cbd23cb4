// The seccomp filter of a sandbox (seccomp(2), BPF), generated from the syscall table.
//
// Order matters twice. Denied calls are denied before anything else is looked at, so the agent gains nothing; and
// allowed calls are decided by number and architecture alone, which lets the kernel cache the verdict and skip the
// filter.
#pragma once

#include <linux/filter.h>

#include <vector>

#include "interpose/syscall_table.h"

namespace beam::interpose {

// What decides on more traps than the table alone.
struct SandboxTraits {
  bool shifted_clocks = false;  // its clocks are not the workstation's
  bool has_view = false;        // its paths are resolved in a mount view
};

[[nodiscard]] std::vector<sock_filter> build_filter(const SyscallTable& table, SandboxTraits traits = {});

// Whether this process, and so what it starts, has a capability or may get one. With no_new_privs and without
// namespaces of its own, a sandbox never gets one that its supervisor lacks.
[[nodiscard]] bool may_have_capabilities();

}  // namespace beam::interpose
