#include "interpose/signal_info.h"

namespace beam::interpose {

namespace {

// One private code for each of the kernel's own: si_code is 16 bits wide where the kernel encodes it (SI_KERNEL is the
// largest), and those below 0 are small numbers (asm-generic/siginfo.h).
constexpr int kTranslatedFirst = -0x42700000;
constexpr int kTranslatedMiddle = kTranslatedFirst + 0x8000;
constexpr int kTranslatedLast = kTranslatedFirst + 0xffff;

}  // namespace

int translated_code(int code) {
  return code >= kTranslatedFirst - kTranslatedMiddle && code <= kTranslatedLast - kTranslatedMiddle
             ? kTranslatedMiddle + code
             : code;
}

bool translate_siginfo(const Shared& shared, siginfo_t& info) {
  if (info.si_code >= kTranslatedFirst && info.si_code <= kTranslatedLast) {
    info.si_code -= kTranslatedMiddle;
    return true;
  }
  switch (info.si_code) {
    case kSentByKill:
      info.si_code = SI_USER;
      return true;
    case kSentByTgkill:
      info.si_code = SI_TKILL;
      return true;
    case kClaimsMesgq:
      info.si_code = SI_MESGQ;
      return true;
    case SI_USER:
    case SI_TKILL:
    case SI_MESGQ:
      break;
    default:
      // The codes of a child's end are the only positive ones that name a process (CLD_EXITED to CLD_CONTINUED). Other
      // signals use the same numbers for faults and for descriptors (F_SETSIG), unless clone(2) chose one for an exit.
      if (info.si_code < CLD_EXITED || info.si_code > CLD_CONTINUED ||
          (info.si_signo != SIGCHLD &&
           ((shared.exit_signals.load(std::memory_order_relaxed) >> (info.si_signo - 1) & 1U) == 0 ||
            shared.pids.to_virtual(HostPid(info.si_pid)) == VirtualPid()))) {
        return false;
      }
      break;
  }
  if (info.si_pid == 0) {
    return false;
  }
  info.si_pid = shared.pids.to_virtual(HostPid(info.si_pid)).value();
  return true;
}

void translate_delivered_signal(const Shared& shared, StoppedTracee& tracee) {
  auto info = tracee.siginfo();
  if (info && translate_siginfo(shared, *info)) {
    tracee.set_siginfo(*info);
  }
}

}  // namespace beam::interpose
