// Reads of descriptors whose records have to be translated: signalfds show virtual ids, inotify instances the events
// that a freeze has kept. Trapped by number, in the processes that have one.
#pragma once

#include "interpose/call.h"
#include "interpose/task.h"
#include "interpose/tracee.h"

namespace beam::interpose {

// Stacks the filter that traps reads and copies of descriptor `fd` on the stopped task's process, unless it has it.
void trap_reads(Task& task, StoppedTracee& tracee, int fd);

// For a call that copies `from`: reads of the new descriptor, the call's result, are trapped likewise.
[[nodiscard]] Rewrite copy_of_trapped(const RewriteCall& call, GuestFd from);

// Translates signalfd_siginfo records at `at` in the caller's memory.
void translate_signal_records(const ExitCall& call, std::uint64_t at, std::uint64_t size);

}  // namespace beam::interpose
