// Many orphans that end at once, in a storm of them: pid 1 reaps every one, no zombie stays.
#include "guest.h"

enum { kRounds = 30, kOrphans = 8 };

int main(void) {
  guest_begin();
  struct gate up = gate_make();
  static pid_t orphans[kRounds * kOrphans];
  for (int round = 0; round < kRounds; ++round) {
    pid_t child = guest_fork();
    if (child == 0) {
      for (int i = 0; i < kOrphans; ++i) {
        if (guest_fork() == 0) {
          gate_send(&up, getpid());
          _exit(i);
        }
      }
      _exit(0);
    }
    REAP(child);
    for (int i = 0; i < kOrphans; ++i) {
      orphans[round * kOrphans + i] = (pid_t)gate_receive(&up);
    }
  }
  // A machine's pid 1 may be a program that never waits.
  for (int i = 0; i < kRounds * kOrphans && under_beam(); ++i) {
    while (kill(orphans[i], 0) == 0) {
      sched_yield();
    }
    CHECK_EQ(errno, ESRCH);
  }
  CHECK_ERRNO(waitpid(-1, NULL, 0), ECHILD);
  return guest_pass();
}
