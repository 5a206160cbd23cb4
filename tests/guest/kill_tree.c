// A tree of forty processes in one group is killed at once; each is reaped with SIGKILL by whoever is its parent then.
#include "guest.h"

enum { kProcesses = 40 };

// Each process makes three, to a depth of three: 1 + 3 + 9 + 27.
static void grow(struct gate* up) {
  for (int depth = 0; depth < 3; ++depth) {
    bool child = false;
    for (int i = 0; i < 3 && !child; ++i) {
      child = guest_fork() == 0;
    }
    if (!child) {
      break;
    }
    gate_open(up);
  }
  for (;;) {
    pause();
  }
}

int main(void) {
  guest_begin();
  SYS(prctl(PR_SET_CHILD_SUBREAPER, 1));
  struct gate up = gate_make();
  pid_t root = guest_fork();
  if (root == 0) {
    SYS(setpgid(0, 0));
    gate_open(&up);
    grow(&up);
  }
  for (int i = 0; i < kProcesses; ++i) {
    gate_wait(&up);
  }
  SYS(kill(-root, SIGKILL));
  for (int i = 0; i < kProcesses; ++i) {
    int status;
    SYS(waitpid(-1, &status, 0));
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  }
  CHECK_ERRNO(waitpid(-1, NULL, 0), ECHILD);
  CHECK_ERRNO(kill(-root, 0), ESRCH);
  return guest_pass();
}
