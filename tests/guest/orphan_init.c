// A process whose parent has died gets pid 1 (under Beam; natively the nearest reaper) as parent and is reaped there.
#include "guest.h"

int main(void) {
  guest_begin();
  struct gate up = gate_make(), down = gate_make(), leave = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    pid_t self = getpid();
    pid_t grandchild = guest_fork();
    if (grandchild == 0) {
      CHECK_EQ(getppid(), self);
      gate_send(&up, getpid());
      gate_wait(&down);
      CHECK_NE(getppid(), self);
      gate_send(&up, getppid());
      gate_wait(&down);
      _exit(0);
    }
    gate_wait(&leave);
    _exit(0);
  }
  pid_t orphan = (pid_t)gate_receive(&up);
  // First the parent goes, then the orphan looks.
  gate_open(&leave);
  REAP(child);
  gate_open(&down);
  pid_t parent = (pid_t)gate_receive(&up);
  if (under_beam()) {
    CHECK_EQ(parent, 1);
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", orphan);
    CHECK_EQ(status_field(path, "PPid"), 1);
  }
  CHECK_ERRNO(waitpid(orphan, NULL, 0), ECHILD);
  gate_open(&down);
  // It is reaped by its new parent and the pid goes away; a machine's pid 1 may be a program that never waits.
  if (under_beam()) {
    while (kill(orphan, 0) == 0) {
      sched_yield();
    }
    CHECK_EQ(errno, ESRCH);
  }
  return guest_pass();
}
