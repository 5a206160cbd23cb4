// Programs that may be executed but not read (mode 0711). The kernel makes such a process undumpable, which closes its
// memory to an unprivileged tracer: process_vm_readv(2), PTRACE_PEEKDATA and /proc/PID/mem all fail, while registers
// stay open. So its first system call is turned, by registers alone, into prctl(PR_SET_DUMPABLE, 1), which a process
// may always say of itself; then that first call is done after all, with the agent in place.
#pragma once

#include "interpose/call.h"

namespace beam::interpose {

// At the entry stop of the first system call. Null when the task has died.
std::unique_ptr<CallInProgress> begin_reveal(Task& task, StoppedTracee& tracee);

}  // namespace beam::interpose
