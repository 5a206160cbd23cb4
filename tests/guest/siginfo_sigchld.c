// SIGCHLD in a handler: pid, uid, code and status for exits, kills and the default SA_RESTART forms.
#include "guest.h"

static struct gate hit;
static volatile siginfo_t last;

static void handler(int signal, siginfo_t* info, void* context) {
  (void)signal;
  (void)context;
  memcpy((void*)&last, info, sizeof last);
  gate_open(&hit);
}

int main(void) {
  guest_begin();
  hit = gate_make();
  guest_handle(SIGCHLD, handler, SA_RESTART);
  for (int i = 0; i < 60; ++i) {
    pid_t child = guest_fork();
    if (child == 0) {
      if (i % 3 == 0) {
        _exit(i);
      }
      if (i % 3 == 1) {
        raise(SIGTERM);
      }
      // Ended by the parent.
      for (;;) {
        pause();
      }
    }
    if (i % 3 == 2) {
      SYS(kill(child, SIGKILL));
    }
    gate_wait(&hit);
    CHECK_EQ(last.si_signo, SIGCHLD);
    CHECK_EQ(last.si_pid, child);
    CHECK_EQ(last.si_uid, getuid());
    CHECK_EQ(last.si_code, i % 3 == 0 ? CLD_EXITED : CLD_KILLED);
    CHECK_EQ(last.si_status, i % 3 == 0 ? i : i % 3 == 1 ? SIGTERM : SIGKILL);
    guest_status(child);
  }
  return guest_pass();
}
