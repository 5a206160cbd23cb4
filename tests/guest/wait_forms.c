// waitpid by pid, -1, 0 and -pgrp: each finds exactly its children; ECHILD and WNOHANG beside.
#include "guest.h"

static pid_t child_in(pid_t group, int code) {
  pid_t child = guest_fork();
  if (child == 0) {
    if (group >= 0) {
      SYS(setpgid(0, group));
    }
    _exit(code);
  }
  // Both sides, so that the group is right before anybody waits.
  if (group >= 0 && setpgid(child, group) != 0 && errno != EACCES && errno != ESRCH && errno != EPERM) {
    FAIL("setpgid: errno %d", errno);
  }
  return child;
}

int main(void) {
  guest_begin();
  int status;
  CHECK_ERRNO(waitpid(-1, &status, 0), ECHILD);
  CHECK_ERRNO(waitpid(getpid(), &status, 0), ECHILD);
  CHECK_ERRNO(waitpid(getppid(), &status, 0), ECHILD);
  CHECK_ERRNO(waitpid(0x3fffffff, &status, 0), ECHILD);
  CHECK_ERRNO(waitpid(-0x3fffffff, &status, 0), ECHILD);
  CHECK_ERRNO(waitpid(INT_MIN, &status, 0), ESRCH);
  CHECK_ERRNO(waitpid(-1, &status, 0x100), EINVAL);

  pid_t main_child = guest_fork();
  if (main_child == 0) {
    SYS(setpgid(0, 0));
    pid_t own = child_in(-1, 1);
    pid_t other = child_in(0, 2);
    siginfo_t info;
    SYS(waitid(P_PID, (id_t)other, &info, WEXITED | WNOWAIT));
    pid_t same = child_in(other, 3);
    CHECK_EQ(waitpid(0, &status, 0), own);
    CHECK_EQ(status, 1 << 8);
    CHECK_ERRNO(waitpid(0, &status, 0), ECHILD);
    bool first = false, second = false;
    for (int i = 0; i < 2; ++i) {
      pid_t got = SYS(waitpid(-other, &status, 0));
      first |= got == other && status == 2 << 8;
      second |= got == same && status == 3 << 8;
    }
    CHECK(first && second);
    CHECK_ERRNO(waitpid(-other, &status, 0), ECHILD);
    _exit(0);
  }
  REAP(main_child);

  struct gate down = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    gate_wait(&down);
    _exit(4);
  }
  CHECK_EQ(waitpid(child, &status, WNOHANG), 0);
  CHECK_EQ(waitpid(-1, &status, WNOHANG), 0);
  CHECK_EQ(wait4(child, NULL, WNOHANG, NULL), 0);
  gate_open(&down);
  CHECK_EQ(wait(&status), child);
  CHECK_EQ(status, 4 << 8);
  // A status that can't be written: the child is reaped all the same.
  child = child_in(-1, 5);
  CHECK_ERRNO(syscall(SYS_wait4, child, 8, 0, NULL), EFAULT);
  CHECK_ERRNO(waitpid(child, &status, 0), ECHILD);
  // The zombie of a child of a child is not ours.
  child = guest_fork();
  if (child == 0) {
    pid_t grandchild = child_in(-1, 6);
    gate_send(&down, grandchild);
    REAP_CODE(grandchild, 6);
    _exit(0);
  }
  CHECK_ERRNO(waitpid((pid_t)gate_receive(&down), &status, 0), ECHILD);
  REAP(child);
  return guest_pass();
}
