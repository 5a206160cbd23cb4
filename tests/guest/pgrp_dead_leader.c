// A group and a session outlive their leaders: kill, wait, getpgid, getsid and joining go on by the dead one's number.
#include "guest.h"

int main(void) {
  guest_begin();
  SYS(prctl(PR_SET_CHILD_SUBREAPER, 1));
  struct gate up = gate_make(), down = gate_make();
  pid_t leader = guest_fork();
  if (leader == 0) {
    SYS(setsid());
    for (int i = 0; i < 2; ++i) {
      pid_t member = guest_fork();
      if (member == 0) {
        gate_send(&up, getpid());
        for (;;) {
          pause();
        }
      }
    }
    gate_wait(&down);
    _exit(0);
  }
  pid_t first = (pid_t)gate_receive(&up), second = (pid_t)gate_receive(&up);
  gate_open(&down);
  REAP(leader);
  CHECK_ERRNO(kill(leader, 0), ESRCH);
  CHECK_ERRNO(getpgid(leader), ESRCH);
  SYS(kill(-leader, 0));
  CHECK_EQ(getpgid(first), leader);
  CHECK_EQ(getsid(second), leader);
  struct proc_stat stat;
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/stat", first);
  CHECK(read_stat(path, &stat));
  CHECK_EQ(stat.pgrp, leader);
  CHECK_EQ(stat.session, leader);
  CHECK_EQ(stat.ppid, getpid());

  // The number of a group that lives is given to nobody: hundreds of forks do not meet it.
  for (int i = 0; i < 300; ++i) {
    pid_t child = guest_fork();
    if (child == 0) {
      _exit(0);
    }
    CHECK_NE(child, leader);
    REAP(child);
  }
  CHECK_EQ(waitpid(-leader, NULL, WNOHANG), 0);
  SYS(kill(-leader, SIGTERM));
  int status;
  pid_t one = SYS(waitpid(-leader, &status, 0));
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
  pid_t two = SYS(waitpid(-leader, &status, 0));
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
  CHECK_EQ(one + two, first + second);
  CHECK_ERRNO(kill(-leader, 0), ESRCH);
  CHECK_ERRNO(waitpid(-leader, NULL, 0), ECHILD);
  return guest_pass();
}
