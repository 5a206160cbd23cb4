// ^C, ^Z and ^\ typed at a terminal reach exactly the foreground group: SIGINT, SIGTSTP, SIGQUIT, sent by the kernel.
#include <sys/resource.h>

#include "tty.h"

static struct gate hit;

static void handler(int signal, siginfo_t* info, void* context) {
  (void)context;
  CHECK_EQ(info->si_pid, 0);
  CHECK_EQ(info->si_code, SI_KERNEL);
  gate_send(&hit, signal * 100000l + raw_getpid());
}

int main(void) {
  guest_begin();
  char slave[64];
  int master = tty_open(slave, sizeof slave);
  struct rlimit none = {0, 0};
  SYS(setrlimit(RLIMIT_CORE, &none));
  hit = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    int fd = tty_lead(slave);
    struct gate up = gate_make();
    pid_t members[3];
    for (int i = 0; i < 3; ++i) {
      members[i] = guest_fork();
      if (members[i] == 0) {
        // The first two are the job, the third a background one.
        SYS(setpgid(0, i == 1 ? members[0] : 0));
        guest_handle(SIGINT, handler, SA_RESTART);
        gate_open(&up);
        for (;;) {
          pause();
        }
      }
      gate_wait(&up);
    }
    SYS(tcsetpgrp(fd, members[0]));
    CHECK_EQ(write(master, "\003", 1), 1);
    long first = gate_receive(&hit), second = gate_receive(&hit);
    CHECK_EQ(first / 100000, SIGINT);
    CHECK_EQ(first % 100000 + second % 100000, members[0] + members[1]);
    CHECK_EQ(write(master, "\032", 1), 1);
    int status;
    for (int i = 0; i < 2; ++i) {
      pid_t stopped = SYS(waitpid(-members[0], &status, WUNTRACED));
      CHECK(stopped == members[0] || stopped == members[1]);
      CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTSTP);
    }
    CHECK_EQ(waitpid(members[2], &status, WUNTRACED | WNOHANG), 0);
    SYS(kill(-members[0], SIGCONT));
    CHECK_EQ(write(master, "\034", 1), 1);
    for (int i = 0; i < 2; ++i) {
      SYS(waitpid(-members[0], &status, 0));
      CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGQUIT);
    }
    CHECK_EQ(waitpid(members[2], &status, WNOHANG), 0);
    SYS(kill(members[2], SIGKILL));
    REAP_SIGNAL(members[2], SIGKILL);
    _exit(0);
  }
  REAP(child);
  return guest_pass();
}
