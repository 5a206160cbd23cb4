// kill(-1, SIGKILL) as an init's shutdown does it: all in the sandbox but the caller, pid 1 and nobody outside.
#include "guest.h"

int main(void) {
  guest_begin();
  if (!under_beam()) {
    // It would end the machine's processes; the signal 0 shows the call's way at least.
    SYS(kill(-1, 0));
    return guest_pass();
  }
  enum { kChildren = 5 };
  struct gate up = gate_make();
  pid_t children[kChildren];
  for (int i = 0; i < kChildren; ++i) {
    children[i] = guest_fork();
    if (children[i] == 0) {
      SYS(setsid());
      gate_open(&up);
      for (;;) {
        pause();
      }
    }
  }
  for (int i = 0; i < kChildren; ++i) {
    gate_wait(&up);
  }
  // A signal that is ignored where it is not handled comes first: if it got out, that must not end the machine.
  const char* outside = getenv("BEAM_OUTSIDE_PID");
  CHECK(outside);
  CHECK_ERRNO(kill(atoi(outside), 0), ESRCH);
  SYS(kill(-1, SIGWINCH));
  SYS(kill(-1, SIGTERM));
  for (int i = 0; i < kChildren; ++i) {
    REAP_SIGNAL(children[i], SIGTERM);
  }
  SYS(kill(1, 0));
  return guest_pass();
}
