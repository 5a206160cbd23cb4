// getpriority, setpriority and ioprio by process, group and user; of a child, of a thread, of nobody.
#include <sys/resource.h>

#include "guest.h"

enum { kIoprioProcess = 1, kIoprioGroup = 2 };

int main(void) {
  guest_begin();
  struct gate up = gate_make(), down = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    SYS(setpgid(0, 0));
    gate_open(&up);
    gate_wait(&down);
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 7);
    _exit(0);
  }
  gate_wait(&up);
  int mine = getpriority(PRIO_PROCESS, 0);
  CHECK_EQ(getpriority(PRIO_PROCESS, getpid()), mine);
  SYS(setpriority(PRIO_PROCESS, (id_t)child, 5));
  CHECK_EQ(getpriority(PRIO_PROCESS, (id_t)child), 5);
  CHECK_EQ(getpriority(PRIO_PROCESS, 0), mine);
  SYS(setpriority(PRIO_PGRP, (id_t)child, 7));
  CHECK_EQ(getpriority(PRIO_PGRP, (id_t)child), 7);
  CHECK_EQ(getpriority(PRIO_PROCESS, 0), mine);
  CHECK(getpriority(PRIO_USER, getuid()) <= mine);
  CHECK_ERRNO(getpriority(PRIO_PROCESS, 0x3fffffff), ESRCH);
  CHECK_ERRNO(setpriority(PRIO_PROCESS, 0x3fffffff, 1), ESRCH);
  CHECK_ERRNO(getpriority(PRIO_PGRP, 0x3fffffff), ESRCH);
  CHECK_ERRNO(getpriority(9, 0), EINVAL);

  // Best effort, level 6.
  int value = 2 << 13 | 6;
  SYS(syscall(SYS_ioprio_set, kIoprioProcess, child, value));
  CHECK_EQ(syscall(SYS_ioprio_get, kIoprioProcess, child), value);
  CHECK_NE(syscall(SYS_ioprio_get, kIoprioProcess, getpid()), value);
  value = 2 << 13 | 7;
  SYS(syscall(SYS_ioprio_set, kIoprioGroup, child, value));
  CHECK_EQ(syscall(SYS_ioprio_get, kIoprioGroup, child), value);
  CHECK_ERRNO(syscall(SYS_ioprio_get, kIoprioProcess, 0x3fffffff), ESRCH);
  CHECK_ERRNO(syscall(SYS_ioprio_set, kIoprioProcess, 0x3fffffff, value), ESRCH);
  gate_open(&down);
  REAP(child);
  return guest_pass();
}
