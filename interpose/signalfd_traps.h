// Reads of signalfds, which have to show virtual ids: trapped by number, in the processes that have one.
#pragma once

#include "interpose/task.h"
#include "interpose/tracee.h"

namespace beam::interpose {

// Stacks the filter that traps reads of descriptor `fd` on the stopped task's process, unless it has it.
void trap_signalfd_reads(Task& task, StoppedTracee& tracee, int fd);

}  // namespace beam::interpose
