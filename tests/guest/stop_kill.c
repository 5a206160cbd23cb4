// A stopped process takes SIGKILL at once, keeps SIGTERM until SIGCONT, and handles what came meanwhile then.
#include "guest.h"

static struct gate up;

static void handler(int signal, siginfo_t* info, void* context) {
  (void)context;
  CHECK_EQ(info->si_pid, guest_top);
  gate_send(&up, signal);
}

int main(void) {
  guest_begin();
  up = gate_make();
  for (int round = 0; round < 3; ++round) {
    pid_t child = guest_fork();
    if (child == 0) {
      guest_handle(SIGUSR1, handler, 0);
      guest_handle(SIGCONT, handler, 0);
      gate_send(&up, 0);
      for (;;) {
        pause();
      }
    }
    CHECK_EQ(gate_receive(&up), 0);
    int status;
    SYS(kill(child, SIGSTOP));
    CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
    switch (round) {
      case 0:
        SYS(kill(child, SIGKILL));
        REAP_SIGNAL(child, SIGKILL);
        break;
      case 1:
        SYS(kill(child, SIGTERM));
        CHECK_EQ(waitpid(child, &status, WNOHANG), 0);
        CHECK_EQ(task_state(child, child), 'T');
        SYS(kill(child, SIGCONT));
        REAP_SIGNAL(child, SIGTERM);
        break;
      default: {
        SYS(kill(child, SIGUSR1));
        struct pollfd poll_fd = {.fd = up.fd[0], .events = POLLIN};
        CHECK_EQ(poll(&poll_fd, 1, 0), 0);
        SYS(kill(child, SIGCONT));
        long first = gate_receive(&up), second = gate_receive(&up);
        CHECK_EQ(first + second, SIGUSR1 + SIGCONT);
        SYS(kill(child, SIGKILL));
        REAP_SIGNAL(child, SIGKILL);
        break;
      }
    }
  }
  return guest_pass();
}
