// SA_NOCLDWAIT: no zombies, but the signal comes with the child's pid.
#include "guest.h"

static struct gate hit;

static void handler(int signal, siginfo_t* info, void* context) {
  (void)signal;
  (void)context;
  CHECK_EQ(info->si_code, CLD_EXITED);
  CHECK_EQ(info->si_status, 3);
  gate_send(&hit, info->si_pid);
}

int main(void) {
  guest_begin();
  hit = gate_make();
  guest_handle(SIGCHLD, handler, SA_NOCLDWAIT | SA_RESTART);
  for (int i = 0; i < 30; ++i) {
    pid_t child = guest_fork();
    if (child == 0) {
      _exit(3);
    }
    CHECK_ERRNO(waitpid(child, NULL, 0), ECHILD);
    CHECK_EQ(gate_receive(&hit), child);
    CHECK_ERRNO(kill(child, 0), ESRCH);
  }
  return guest_pass();
}
