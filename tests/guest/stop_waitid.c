// Stops and continues by waitid: CLD_STOPPED, CLD_CONTINUED, si_status and si_pid; WNOWAIT leaves them to be had again.
#include "guest.h"

int main(void) {
  guest_begin();
  struct gate up = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    gate_open(&up);
    for (;;) {
      pause();
    }
  }
  gate_wait(&up);
  const int stops[] = {SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU};
  // SIGTSTP and its like do nothing to an orphaned process group, so the child gets a group whose parent is in the
  // session.
  SYS(setpgid(child, child));
  for (int i = 0; i < 4; ++i) {
    siginfo_t info = {0};
    SYS(kill(child, stops[i]));
    for (int look = 0; look < 3; ++look) {
      memset(&info, 0, sizeof info);
      SYS(waitid(P_PID, (id_t)child, &info, WSTOPPED | (look < 2 ? WNOWAIT : 0)));
      CHECK_EQ(info.si_signo, SIGCHLD);
      CHECK_EQ(info.si_pid, child);
      CHECK_EQ(info.si_uid, getuid());
      CHECK_EQ(info.si_code, CLD_STOPPED);
      CHECK_EQ(info.si_status, stops[i]);
    }
    memset(&info, 0, sizeof info);
    CHECK_EQ(waitid(P_PID, (id_t)child, &info, WSTOPPED | WNOHANG), 0);
    CHECK_EQ(info.si_pid, 0);
    SYS(kill(child, SIGCONT));
    SYS(waitid(P_PGID, (id_t)child, &info, WCONTINUED));
    CHECK_EQ(info.si_pid, child);
    CHECK_EQ(info.si_code, CLD_CONTINUED);
    CHECK_EQ(info.si_status, SIGCONT);
  }
  SYS(kill(child, SIGKILL));
  REAP_SIGNAL(child, SIGKILL);
  return guest_pass();
}
