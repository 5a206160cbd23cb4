// Where pids stand in siginfo (sigaction(2)), and how signals carry the virtual sender.
//
// kill(2) and tgkill(2) of a program are sent by the supervisor, with a siginfo of its own: a private negative si_code,
// which the kernel lets any sender choose, and the sender's virtual pid. The receiver gets SI_USER or SI_TKILL with
// that pid at the delivery stop. Signals that the kernel itself raises (SIGCHLD, mq_notify) name host ids and are
// translated there.
#pragma once

#include <signal.h>

#include "base/ids.h"
#include "interpose/shared.h"
#include "interpose/tracee.h"

namespace beam::interpose {

constexpr int kSentByKill = -0x4265616d;    // shown as SI_USER
constexpr int kSentByTgkill = -0x4265616e;  // shown as SI_TKILL
constexpr int kClaimsMesgq = -0x4265616f;   // a program's own SI_MESGQ, not the kernel's

// A siginfo that was translated once and is queued again (thaw) must not be translated again: it is queued with this
// code instead of its own, which it gets back at delivery.
[[nodiscard]] int translated_code(int code);

// Turns host names into virtual ones; true when something changed.
bool translate_siginfo(const Shared& shared, siginfo_t& info);
// The same for the signal that a task stopped for.
void translate_delivered_signal(const Shared& shared, StoppedTracee& tracee);

}  // namespace beam::interpose
