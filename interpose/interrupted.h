// Signals that come before an answer thread has read a call.
//
// Once read, an answered call waits for its answer and for nothing else (SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV).
// Before that a signal ends the wait with ERESTARTSYS, which becomes EINTR where the handler lacks SA_RESTART: an error
// that getpid(2) or stat(2) never give. Nothing has happened yet, so such a call is made again first, and the signal
// comes after it, as it would natively. Were the handler to run first, a hail of signals could keep the call from ever
// being made. Only signals of job control, which undo each other when they are queued anew, come first.
#pragma once

#include "interpose/shared.h"
#include "interpose/tracee.h"

namespace beam::interpose {

// At a signal's delivery stop: whether the signal has interrupted a call that was still to be answered, and that the
// signal would not have interrupted natively.
[[nodiscard]] bool interrupted_unanswered(Shared& shared, const Task& task, StoppedTracee& tracee);

}  // namespace beam::interpose
