// Filters of Beam's own that a running process gets beside the one that it started with, for traps that few processes
// need. Filters can't be taken off again (seccomp(2)); children and later programs keep them.
#pragma once

#include <linux/filter.h>

#include <vector>

#include "interpose/task.h"
#include "interpose/tracee.h"

namespace beam::interpose {

enum class StackOn { kProcess, kThread };

// Stacks `code`, a few dozen instructions, on all threads of the stopped task's process or on this one only. False when
// the kernel refuses: a thread with filters of its own can't be brought in line with others.
bool stack_filter(Task& task, StoppedTracee& tracee, const std::vector<sock_filter>& code, StackOn where);
// On the process, or else on this thread at least. False, logged with `what` is then wrong, when neither could be.
bool stack_filter_somehow(Task& task, StoppedTracee& tracee, const std::vector<sock_filter>& code, const char* what);

}  // namespace beam::interpose
