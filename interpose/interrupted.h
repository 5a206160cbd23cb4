// Signals that come before an answer thread has read a call.
//
// Once read, an answered call waits for its answer and for nothing else (SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV).
// Before that a signal ends the wait with ERESTARTSYS, which becomes EINTR where the handler lacks SA_RESTART: an error
// that getpid(2) or stat(2) never give. Nothing has happened yet, so such a call is made again, whatever the handler.
#pragma once

#include "interpose/tracee.h"

namespace beam::interpose {

// At a signal's delivery stop: makes the interrupted call begin again after the handler, if it was one to be answered
// and would not have been interrupted by the signal natively.
void restart_unanswered_call(StoppedTracee& tracee);

}  // namespace beam::interpose
