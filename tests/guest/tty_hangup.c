// The session leader's exit and the terminal's hangup: SIGHUP to the foreground group, SIGHUP and SIGCONT to the
// leader, EIO on the terminal afterwards.
#include "tty.h"

static struct gate hit;

static void handler(int signal, siginfo_t* info, void* context) {
  (void)info;
  (void)context;
  gate_send(&hit, signal * 100000l + raw_getpid());
}

int main(void) {
  guest_begin();
  SYS(prctl(PR_SET_CHILD_SUBREAPER, 1));
  hit = gate_make();
  char slave[64];

  // The leader exits.
  int master = tty_open(slave, sizeof slave);
  struct gate up = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    int fd = tty_lead(slave);
    struct gate ready = gate_make();
    pid_t member = guest_fork();
    if (member == 0) {
      SYS(setpgid(0, 0));
      guest_handle(SIGHUP, handler, SA_RESTART);
      guest_handle(SIGCONT, handler, SA_RESTART);
      gate_open(&ready);
      for (;;) {
        pause();
      }
    }
    gate_wait(&ready);
    SYS(tcsetpgrp(fd, member));
    gate_send(&up, member);
    _exit(0);
  }
  REAP(child);
  pid_t member = (pid_t)gate_receive(&up);
  CHECK_EQ(gate_receive(&hit), SIGHUP * 100000l + member);
  SYS(kill(member, SIGKILL));
  REAP_SIGNAL(member, SIGKILL);
  close(master);

  // The controlling side is closed.
  master = tty_open(slave, sizeof slave);
  child = guest_fork();
  if (child == 0) {
    close(master);
    int fd = tty_lead(slave);
    guest_handle(SIGHUP, handler, SA_RESTART);
    gate_open(&up);
    for (;;) {
      char byte;
      ssize_t got = read(fd, &byte, 1);
      if (got == 0 || (got < 0 && errno == EIO)) {
        CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
        _exit(5);
      }
    }
  }
  gate_wait(&up);
  close(master);
  CHECK_EQ(gate_receive(&hit), SIGHUP * 100000l + child);
  REAP_CODE(child, 5);
  return guest_pass();
}
