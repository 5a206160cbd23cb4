// Pseudo-terminals across a freeze: modes, size, input by lines and the line that is being typed, output that nobody
// has read, packet mode, a controlling terminal with its foreground group, one that has been hung up.
#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "guest.h"

static int master_make(int* slave) {
  int master = SYS(posix_openpt(O_RDWR | O_NOCTTY));
  SYS(grantpt(master));
  SYS(unlockpt(master));
  *slave = SYS(open(ptsname(master), O_RDWR | O_NOCTTY));
  return master;
}

static void expect(int fd, const char* text) {
  char buffer[256];
  ssize_t got = SYS(read(fd, buffer, sizeof buffer));
  CHECK_EQ(got, strlen(text));
  CHECK(memcmp(buffer, text, strlen(text)) == 0);
}

static void type(int master, const char* text) {
  CHECK_EQ(write(master, text, strlen(text)), strlen(text));
}

// Waits until the line discipline has had what was typed: it echoes.
static void drain_echo(int master, size_t size) {
  char buffer[256];
  while (size > 0) {
    size -= (size_t)SYS(read(master, buffer, size));
  }
}

int main(void) {
  guest_begin();
  int slave, raw_slave, hung_slave, leader_slave;
  int master = master_make(&slave);
  struct termios modes;
  SYS(tcgetattr(slave, &modes));
  modes.c_oflag &= (tcflag_t)~ONLCR;
  modes.c_cc[VINTR] = 'q' & 0x1f;
  SYS(tcsetattr(slave, TCSANOW, &modes));
  struct winsize size = {.ws_row = 33, .ws_col = 99};
  SYS(ioctl(slave, TIOCSWINSZ, &size));
  type(master, "first\nsecond\npart");
  drain_echo(master, 17);
  CHECK_EQ(write(slave, "shown", 5), 5);

  int raw_master = master_make(&raw_slave);
  SYS(tcgetattr(raw_slave, &modes));
  cfmakeraw(&modes);
  SYS(tcsetattr(raw_slave, TCSANOW, &modes));
  type(raw_master, "raw\003\n");
  int one = 1;
  SYS(ioctl(raw_master, TIOCPKT, &one));
  char name[64], raw_name[64];
  SYS(ttyname_r(slave, name, sizeof name));
  SYS(ttyname_r(raw_slave, raw_name, sizeof raw_name));

  int hung_master = master_make(&hung_slave);
  SYS(close(hung_master));

  // A session of its own with a foreground group.
  int leader_master = master_make(&leader_slave);
  struct gate go = gate_make(), ready = gate_make();
  pid_t leader = guest_fork();
  if (leader == 0) {
    SYS(setsid());
    SYS(ioctl(leader_slave, TIOCSCTTY, 0));
    signal(SIGTTOU, SIG_IGN);
    pid_t member = guest_fork();
    if (member == 0) {
      for (;;) {
        pause();
      }
    }
    SYS(setpgid(member, member));
    SYS(tcsetpgrp(leader_slave, member));
    int early_tty = SYS(open("/dev/tty", O_RDWR));
    gate_send(&ready, member);
    gate_wait(&go);
    CHECK_EQ(tcgetpgrp(early_tty), member);
    CHECK_EQ(tcgetpgrp(leader_slave), member);
    CHECK_EQ(tcgetsid(leader_slave), getpid());
    int tty = SYS(open("/dev/tty", O_RDWR));
    CHECK_EQ(tcgetpgrp(tty), member);
    REAP_SIGNAL(member, SIGINT);
    _exit(0);
  }
  pid_t member = (pid_t)gate_receive(&ready);

  guest_fence();
  struct termios now;
  SYS(tcgetattr(slave, &now));
  CHECK_EQ(now.c_cc[VINTR], 'q' & 0x1f);
  CHECK((now.c_oflag & ONLCR) == 0 && (now.c_lflag & (ICANON | ECHO)) == (ICANON | ECHO));
  struct winsize size_now;
  SYS(ioctl(master, TIOCGWINSZ, &size_now));
  CHECK_EQ(size_now.ws_row, 33);
  CHECK_EQ(size_now.ws_col, 99);
  expect(slave, "first\n");
  guest_fence();
  expect(slave, "second\n");
  expect(master, "shown");
  type(master, "ly\n");
  drain_echo(master, 3);
  expect(slave, "partly\n");
  expect(raw_slave, "raw\003\n");
  CHECK_EQ(write(raw_slave, "out", 3), 3);
  guest_fence();
  char packet[8];
  CHECK_EQ(read(raw_master, packet, sizeof packet), 4);
  CHECK(packet[0] == TIOCPKT_DATA && memcmp(packet + 1, "out", 3) == 0);
  char name_now[64];
  SYS(ttyname_r(slave, name_now, sizeof name_now));
  CHECK_STR(name_now, name);
  SYS(ttyname_r(raw_slave, name_now, sizeof name_now));
  CHECK_STR(name_now, raw_name);
  CHECK_ERRNO(write(hung_slave, "x", 1), EIO);
  CHECK_EQ(read(hung_slave, packet, 1), 0);
  CHECK_EQ(tcgetpgrp(leader_master), member);
  gate_open(&go);
  type(leader_master, "\003");
  REAP(leader);
  return guest_pass();
}
