// waitid by P_ALL, P_PID, P_PGID and P_PIDFD with WNOWAIT, WNOHANG, and without a siginfo.
#include "guest.h"

static void check(const siginfo_t* info, pid_t child, int code, int status) {
  CHECK_EQ(info->si_signo, SIGCHLD);
  CHECK_EQ(info->si_pid, child);
  CHECK_EQ(info->si_uid, getuid());
  CHECK_EQ(info->si_code, code);
  CHECK_EQ(info->si_status, status);
}

int main(void) {
  guest_begin();
  siginfo_t info;
  CHECK_ERRNO(waitid(P_ALL, 0, &info, WEXITED), ECHILD);
  CHECK_ERRNO(waitid(P_ALL, 0, &info, 0), EINVAL);
  CHECK_ERRNO(waitid(99, 0, &info, WEXITED), EINVAL);
  CHECK_ERRNO(waitid(P_PID, 0, &info, WEXITED), EINVAL);
  CHECK_ERRNO(waitid(P_PID, (id_t)-1, &info, WEXITED), EINVAL);
  CHECK_ERRNO(waitid(P_PIDFD, 999, &info, WEXITED), EBADF);
  CHECK_ERRNO(waitid(P_PIDFD, 0, &info, WEXITED), EBADF);
  for (int way = 0; way < 5; ++way) {
    for (int killed = 0; killed < 2; ++killed) {
      struct gate up = gate_make(), down = gate_make();
      pid_t child = guest_fork();
      if (child == 0) {
        SYS(setpgid(0, 0));
        gate_open(&up);
        if (killed) {
          for (;;) {
            pause();
          }
        }
        gate_wait(&down);
        _exit(way);
      }
      gate_wait(&up);
      int pidfd = (int)SYS(syscall(SYS_pidfd_open, child, 0));
      idtype_t type = way == 0 ? P_ALL : way == 1 ? P_PID : way == 2 ? P_PGID : P_PIDFD;
      id_t id = way == 0 ? 0 : way == 3 || way == 4 ? (id_t)pidfd : (id_t)child;
      memset(&info, 0xff, sizeof info);
      CHECK_EQ(waitid(type, id, &info, WEXITED | WNOHANG), 0);
      CHECK_EQ(info.si_pid, 0);
      CHECK_EQ(info.si_signo, 0);
      if (killed) {
        SYS(kill(child, SIGUSR2));
      } else {
        gate_open(&down);
      }
      int code = killed ? CLD_KILLED : CLD_EXITED, status = killed ? SIGUSR2 : way;
      memset(&info, 0, sizeof info);
      SYS(waitid(type, id, &info, WEXITED | WNOWAIT));
      check(&info, child, code, status);
      memset(&info, 0, sizeof info);
      SYS(waitid(type, id, &info, WEXITED | WNOWAIT | WNOHANG));
      check(&info, child, code, status);
      if (way == 4) {
        SYS(waitid(type, id, NULL, WEXITED));
      } else {
        memset(&info, 0, sizeof info);
        SYS(waitid(type, id, &info, WEXITED));
        check(&info, child, code, status);
      }
      CHECK_ERRNO(waitid(type, id, &info, WEXITED), ECHILD);
      close(pidfd);
      gate_close(&up);
      gate_close(&down);
    }
  }
  // P_PGID 0 is the caller's own group.
  pid_t child = guest_fork();
  if (child == 0) {
    _exit(9);
  }
  SYS(waitid(P_PGID, 0, &info, WEXITED));
  check(&info, child, CLD_EXITED, 9);
  // A non-blocking pidfd of a living child: EAGAIN.
  struct gate down = gate_make();
  child = guest_fork();
  if (child == 0) {
    gate_wait(&down);
    _exit(0);
  }
  int pidfd = (int)SYS(syscall(SYS_pidfd_open, child, O_NONBLOCK));
  CHECK_ERRNO(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED), EAGAIN);
  gate_open(&down);
  REAP(child);
  return guest_pass();
}
