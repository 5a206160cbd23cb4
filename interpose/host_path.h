// Calls that the kernel does by the workstation's path of a file of /proc.
#pragma once

#include <memory>

#include "interpose/call.h"
#include "interpose/syscall_args.h"
#include "rootfs/proc_path.h"

namespace beam::interpose {

struct HostPathCall : CallInProgress {
  void at_exit(ExitCall& /*call*/) override {}
};

// Points argument `index`, a path in `dir`, at the workstation's own path. Passes the call on where that is the same.
[[nodiscard]] Rewrite with_host_path(RewriteCall& call, GuestFd dir, GuestPath path, std::size_t index, bool follow,
                                     std::unique_ptr<HostPathCall> progress = std::make_unique<HostPathCall>());
// The same for a node that has been looked up.
[[nodiscard]] Rewrite with_host_path(RewriteCall& call, const rootfs::ProcNode& node, std::size_t index,
                                     std::unique_ptr<HostPathCall> progress = std::make_unique<HostPathCall>());
[[nodiscard]] Caller caller_of(const RewriteCall& call);

}  // namespace beam::interpose
