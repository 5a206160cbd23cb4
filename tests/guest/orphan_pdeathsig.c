// PR_SET_PDEATHSIG: the signal comes when the parent dies, from the parent's pid; it is cleared by fork, GET tells.
#include "guest.h"

static struct gate up;

static void handler(int signal, siginfo_t* info, void* context) {
  (void)signal;
  (void)context;
  gate_send(&up, info->si_pid);
}

int main(void) {
  guest_begin();
  SYS(prctl(PR_SET_CHILD_SUBREAPER, 1));
  up = gate_make();
  for (int way = 0; way < 2; ++way) {
    struct gate down = gate_make();
    pid_t parent = guest_fork();
    if (parent == 0) {
      struct gate ready = gate_make();
      pid_t child = guest_fork();
      if (child == 0) {
        guest_handle(SIGUSR1, handler, SA_RESTART);
        SYS(prctl(PR_SET_PDEATHSIG, SIGUSR1));
        int got = 0;
        SYS(prctl(PR_GET_PDEATHSIG, &got));
        CHECK_EQ(got, SIGUSR1);
        pid_t grandchild = guest_fork();
        if (grandchild == 0) {
          SYS(prctl(PR_GET_PDEATHSIG, &got));
          _exit(got);
        }
        REAP(grandchild);
        gate_open(&ready);
        gate_wait(&down);
        _exit(17);
      }
      gate_wait(&ready);
      gate_send(&up, child);
      if (way == 0) {
        _exit(0);
      }
      for (;;) {
        pause();
      }
    }
    pid_t child = (pid_t)gate_receive(&up);
    if (way == 1) {
      SYS(kill(parent, SIGKILL));
    }
    CHECK_EQ(gate_receive(&up), parent);
    guest_status(parent);
    gate_open(&down);
    REAP_CODE(child, 17);
    gate_close(&down);
  }
  return guest_pass();
}
