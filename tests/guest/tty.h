// Pseudo-terminals for guests: a pair, and a child that leads a session on it.
#pragma once
#include <sys/ioctl.h>
#include <termios.h>

#include "guest.h"

// The controlling side; *slave gets the other's path.
__attribute__((unused)) static int tty_open(char* slave, size_t size) {
  int master = SYS(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  SYS(grantpt(master));
  SYS(unlockpt(master));
  PTHREAD(ptsname_r(master, slave, size));
  return master;
}

// Makes the caller a session leader with this terminal as its controlling one and stdin; stdout stays the guest's.
__attribute__((unused)) static int tty_lead(const char* slave) {
  SYS(setsid());
  int fd = SYS(open(slave, O_RDWR | O_NOCTTY | O_CLOEXEC));
  SYS(ioctl(fd, TIOCSCTTY, 0));
  return fd;
}
