#include "interpose/signal_info.h"

namespace beam::interpose {

bool translate_siginfo(const Shared& shared, siginfo_t& info) {
  switch (info.si_code) {
    case kSentByKill:
      info.si_code = SI_USER;
      return true;
    case kSentByTgkill:
      info.si_code = SI_TKILL;
      return true;
    case SI_USER:
    case SI_TKILL:
    case SI_MESGQ:
      break;
    default:
      // SIGCHLD's own codes are the only positive ones that name a process (CLD_EXITED to CLD_CONTINUED).
      if (info.si_signo != SIGCHLD || info.si_code < CLD_EXITED || info.si_code > CLD_CONTINUED) {
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
