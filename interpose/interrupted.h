// Signals that come before an answer thread has read a call.
//
// Once read, an answered call waits for its answer and for nothing else (SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV).
// Before that a signal ends the wait with ERESTARTSYS, which becomes EINTR where the handler lacks SA_RESTART: an error
// that getpid(2) or stat(2) never give. Nothing has happened yet, so such a call is made again first, and the signal
// comes after it, as it would natively. Were the handler to run first, a hail of signals could keep the call from ever
// being made. Only signals of job control, which undo each other when they are queued anew, come first; and what comes
// while a socket's call could be done at once, as it might wait after all, when another takes what is there.
#pragma once

#include "interpose/shared.h"
#include "interpose/tracee.h"

namespace beam::interpose {

enum class Interrupted {
  kAsNatively,   // not a call that was still to be answered, or one that a signal may interrupt
  kCallFirst,    // the call is made again, and the signal comes after it
  kSignalFirst,  // the handler runs, and the call is made again then, whatever SA_RESTART says
};

// At a signal's delivery stop: what it has interrupted.
[[nodiscard]] Interrupted interrupted_unanswered(Shared& shared, const Task& task, StoppedTracee& tracee);

}  // namespace beam::interpose
