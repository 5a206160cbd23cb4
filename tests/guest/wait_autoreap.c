// SIGCHLD ignored: children vanish by themselves; a wait blocks until the last is gone and says ECHILD.
#include "guest.h"

int main(void) {
  guest_begin();
  struct gate up = gate_make(), down = gate_make();
  signal(SIGCHLD, SIG_IGN);
  pid_t children[5];
  for (int i = 0; i < 5; ++i) {
    children[i] = guest_fork();
    if (children[i] == 0) {
      gate_open(&up);
      gate_wait(&down);
      _exit(i);
    }
  }
  for (int i = 0; i < 5; ++i) {
    gate_wait(&up);
  }
  CHECK_EQ(waitpid(-1, NULL, WNOHANG), 0);
  for (int i = 0; i < 5; ++i) {
    gate_open(&down);
  }
  CHECK_ERRNO(waitpid(children[2], NULL, 0), ECHILD);
  CHECK_ERRNO(wait(NULL), ECHILD);
  for (int i = 0; i < 5; ++i) {
    CHECK_ERRNO(kill(children[i], 0), ESRCH);
  }
  // A zombie that is there already is kept and can be waited for.
  signal(SIGCHLD, SIG_DFL);
  pid_t child = guest_fork();
  if (child == 0) {
    _exit(8);
  }
  siginfo_t info;
  SYS(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT));
  signal(SIGCHLD, SIG_IGN);
  REAP_CODE(child, 8);
  return guest_pass();
}
