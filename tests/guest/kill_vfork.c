// SIGKILL around a vfork: the child dies and the parent goes on; the parent is killed while it waits for the child.
#include "guest.h"

int main(void) {
  guest_begin();
  SYS(prctl(PR_SET_CHILD_SUBREAPER, 1));
  struct gate up = gate_make();
  pid_t middle = guest_fork();
  if (middle == 0) {
    pid_t child = SYS(vfork());
    if (child == 0) {
      // No lock, no library state: plain calls only.
      long self = raw_getpid();
      if (write(up.fd[1], &self, sizeof self) != sizeof self) {
        _exit(1);
      }
      for (;;) {
        pause();
      }
    }
    REAP_SIGNAL(child, SIGKILL);
    _exit(51);
  }
  pid_t child = (pid_t)gate_receive(&up);
  CHECK_NE(child, middle);
  SYS(kill(child, SIGKILL));
  REAP_CODE(middle, 51);

  middle = guest_fork();
  if (middle == 0) {
    if (vfork() == 0) {
      long self = raw_getpid();
      if (write(up.fd[1], &self, sizeof self) != sizeof self) {
        _exit(1);
      }
      for (;;) {
        pause();
      }
    }
    _exit(1);
  }
  child = (pid_t)gate_receive(&up);
  SYS(kill(middle, SIGKILL));
  REAP_SIGNAL(middle, SIGKILL);
  SYS(kill(child, SIGTERM));
  REAP_SIGNAL(child, SIGTERM);
  return guest_pass();
}
