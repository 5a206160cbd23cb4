// fork: the number that the parent gets is the child's getpid; getppid through three generations; wait gives the same
// number.
#include "guest.h"

int main(void) {
  guest_begin();
  pid_t self = getpid();
  struct gate up = gate_make(), across = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    CHECK_EQ(getppid(), self);
    CHECK_EQ(raw_gettid(), raw_getpid());
    CHECK_EQ(getpid(), raw_getpid());
    pid_t middle = getpid();
    gate_send(&up, middle);
    pid_t grandchild = guest_fork();
    if (grandchild == 0) {
      CHECK_EQ(getppid(), middle);
      gate_send(&across, getpid());
      _exit(7);
    }
    CHECK_EQ(gate_receive(&across), grandchild);
    REAP_CODE(grandchild, 7);
    _exit(3);
  }
  REAP_CODE(child, 3);
  CHECK_EQ(gate_receive(&up), child);
  CHECK_EQ(getpid(), self);

  // The raw call too.
  pid_t raw = (pid_t)SYS(syscall(SYS_fork));
  if (raw == 0) {
    gate_send(&up, raw_getpid());
    _exit(0);
  }
  CHECK_EQ(gate_receive(&up), raw);
  REAP(raw);
  return guest_pass();
}
