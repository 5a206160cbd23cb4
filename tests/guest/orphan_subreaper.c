// PR_SET_CHILD_SUBREAPER: orphans below go to the nearest one, their end is its to wait for; GET; not inherited.
#include "guest.h"

int main(void) {
  guest_begin();
  int subreaper = -1;
  SYS(prctl(PR_GET_CHILD_SUBREAPER, &subreaper));
  CHECK_EQ(subreaper, 0);
  SYS(prctl(PR_SET_CHILD_SUBREAPER, 1));
  SYS(prctl(PR_GET_CHILD_SUBREAPER, &subreaper));
  CHECK_EQ(subreaper, 1);
  struct gate up = gate_make(), down = gate_make();
  pid_t self = getpid();
  pid_t child = guest_fork();
  if (child == 0) {
    SYS(prctl(PR_GET_CHILD_SUBREAPER, &subreaper));
    CHECK_EQ(subreaper, 0);
    pid_t middle = guest_fork();
    if (middle == 0) {
      if (guest_fork() == 0) {
        gate_send(&up, getpid());
        gate_wait(&down);
        CHECK_EQ(getppid(), self);
        _exit(44);
      }
      _exit(0);
    }
    REAP(middle);
    // Not a subreaper: the orphan is not here.
    CHECK_ERRNO(waitpid(-1, NULL, 0), ECHILD);
    _exit(0);
  }
  REAP(child);
  pid_t orphan = (pid_t)gate_receive(&up);
  gate_open(&down);
  int status;
  CHECK_EQ(waitpid(-1, &status, 0), orphan);
  CHECK_EQ(status, 44 << 8);

  // Within the death signal of a nested subreaper the nearer one wins.
  child = guest_fork();
  if (child == 0) {
    SYS(prctl(PR_SET_CHILD_SUBREAPER, 1));
    pid_t middle = guest_fork();
    if (middle == 0) {
      if (guest_fork() == 0) {
        _exit(45);
      }
      _exit(0);
    }
    REAP(middle);
    CHECK(waitpid(-1, &status, 0) > 0);
    CHECK_EQ(status, 45 << 8);
    _exit(0);
  }
  REAP(child);
  CHECK_ERRNO(waitpid(-1, NULL, 0), ECHILD);
  return guest_pass();
}
