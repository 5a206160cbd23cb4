// SIGKILL to process trees at any moment of a fork storm: every child is reaped with SIGKILL and nothing hangs.
#include "guest.h"

int main(void) {
  guest_begin();
  SYS(prctl(PR_SET_CHILD_SUBREAPER, 1));
  struct gate up = gate_make();
  unsigned seed = 1;
  for (int round = 0; round < 40; ++round) {
    pid_t child = guest_fork();
    if (child == 0) {
      SYS(setpgid(0, 0));
      gate_open(&up);
      for (;;) {
        pid_t grandchild = fork();
        if (grandchild == 0) {
          _exit(0);
        }
        waitpid(grandchild, NULL, 0);
      }
    }
    gate_wait(&up);
    // Somewhere in the first forks.
    int turns = (int)(rand_r(&seed) % 300);
    for (int i = 0; i < turns; ++i) {
      raw_getpid();
    }
    SYS(kill(-child, SIGKILL));
    REAP_SIGNAL(child, SIGKILL);
    // Its children come to us, killed or finished, and all of them end.
    int status;
    while (waitpid(-1, &status, 0) > 0) {
    }
    CHECK_EQ(errno, ECHILD);
  }
  return guest_pass();
}
