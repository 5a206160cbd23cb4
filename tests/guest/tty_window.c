// Window size: TIOCSWINSZ on either side sends SIGWINCH to the foreground group, and both sides read the new size.
#include "tty.h"

static struct gate hit;

static void handler(int signal, siginfo_t* info, void* context) {
  (void)info;
  (void)context;
  gate_send(&hit, signal);
}

int main(void) {
  guest_begin();
  hit = gate_make();
  char slave[64];
  int master = tty_open(slave, sizeof slave);
  struct gate up = gate_make(), down = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    int fd = tty_lead(slave);
    guest_handle(SIGWINCH, handler, SA_RESTART);
    gate_open(&up);
    gate_wait(&down);
    struct winsize size;
    SYS(ioctl(fd, TIOCGWINSZ, &size));
    CHECK_EQ(size.ws_row, 33);
    CHECK_EQ(size.ws_col, 101);
    size.ws_row = 44;
    SYS(ioctl(fd, TIOCSWINSZ, &size));
    gate_wait(&down);
    _exit(0);
  }
  gate_wait(&up);
  struct winsize size = {.ws_row = 33, .ws_col = 101};
  SYS(ioctl(master, TIOCSWINSZ, &size));
  CHECK_EQ(gate_receive(&hit), SIGWINCH);
  gate_open(&down);
  CHECK_EQ(gate_receive(&hit), SIGWINCH);
  SYS(ioctl(master, TIOCGWINSZ, &size));
  CHECK_EQ(size.ws_row, 44);
  gate_open(&down);
  REAP(child);
  return guest_pass();
}
