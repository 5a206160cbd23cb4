// A 1 kHz timer in a process that execs and fails to exec: timers end with the exec, pending expirations harm nobody.
#include "storm.h"

int main(int argc, char** argv) {
  guest_begin();
  int done = argc > 1 ? atoi(argv[1]) : 0;
  // A tick between the exec and this point would have ended the process: handlers do not survive an exec, timers
  // neither.
  if (done == 150) {
    return guest_pass();
  }
  timer_t timer = storm_begin(SA_RESTART);
  (void)timer;
  int seen = storm_ticks;
  do {
    CHECK_ERRNO(execl("./missing", "missing", (char*)NULL), ENOENT);
  } while (storm_ticks == seen);
  char next[16];
  snprintf(next, sizeof next, "%d", done + 1);
  // A tick that is already pending as a signal is carried over an exec, so none may be.
  guest_block(SIGRTMIN);
  SYS(timer_delete(timer));
  signal(SIGRTMIN, SIG_IGN);
  guest_unblock(SIGRTMIN);
  signal(SIGRTMIN, SIG_DFL);
  execl("/proc/self/exe", argv[0], next, (char*)NULL);
  FAIL("exec: errno %d", errno);
}
