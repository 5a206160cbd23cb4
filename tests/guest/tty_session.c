// A controlling terminal: TIOCSCTTY, TIOCGSID, tcgetsid, /dev/tty, tty_nr and tpgid in stat, TIOCNOTTY.
#include "tty.h"

int main(void) {
  guest_begin();
  char slave[64];
  int master = tty_open(slave, sizeof slave);
  // Not this process's controlling terminal.
  int other = SYS(open(slave, O_RDWR | O_NOCTTY | O_CLOEXEC));
  CHECK_ERRNO(tcgetpgrp(other), ENOTTY);
  CHECK_ERRNO(tcgetsid(other), ENOTTY);
  pid_t child = guest_fork();
  if (child == 0) {
    SYS(setsid());
    CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
    struct proc_stat stat;
    CHECK(read_stat("/proc/self/stat", &stat));
    CHECK_EQ(stat.tty, 0);
    CHECK_EQ(stat.tpgid, -1);
    // Opening a terminal without O_NOCTTY makes it the controlling one too.
    int fd = SYS(open(slave, O_RDWR | O_CLOEXEC));
    pid_t sid = 0;
    SYS(ioctl(fd, TIOCGSID, &sid));
    CHECK_EQ(sid, getpid());
    CHECK_EQ(tcgetsid(fd), getpid());
    CHECK_EQ(tcgetpgrp(fd), getpid());
    int tty = SYS(open("/dev/tty", O_RDWR | O_CLOEXEC));
    CHECK_EQ(tcgetpgrp(tty), getpid());
    CHECK_EQ(tcgetsid(tty), getpid());
    CHECK(read_stat("/proc/self/stat", &stat));
    struct stat status;
    SYS(fstat(fd, &status));
    CHECK_EQ(stat.tty & 0xff, status.st_rdev & 0xff);
    CHECK(stat.tty != 0);
    CHECK_EQ(stat.tpgid, getpid());
    // The controlling side is asked for the same; it is nobody's controlling terminal and gives the slave's.
    SYS(ioctl(master, TIOCGPGRP, &sid));
    CHECK_EQ(sid, getpid());
    SYS(ioctl(master, TIOCGSID, &sid));
    CHECK_EQ(sid, getpid());
    // A child of the session sees it, a session of its own does not.
    pid_t grandchild = guest_fork();
    if (grandchild == 0) {
      CHECK_EQ(tcgetpgrp(fd), getppid());
      CHECK_EQ(tcgetsid(fd), getppid());
      SYS(setsid());
      CHECK_ERRNO(tcgetpgrp(fd), ENOTTY);
      CHECK_ERRNO(ioctl(fd, TIOCSCTTY, 0), EPERM);
      _exit(0);
    }
    REAP(grandchild);
    signal(SIGHUP, SIG_IGN);
    signal(SIGCONT, SIG_IGN);
    SYS(ioctl(fd, TIOCNOTTY));
    CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
    CHECK_ERRNO(tcgetpgrp(fd), ENOTTY);
    // And again, by the ioctl.
    SYS(ioctl(fd, TIOCSCTTY, 0));
    CHECK_EQ(tcgetpgrp(fd), getpid());
    _exit(0);
  }
  REAP(child);
  close(master);
  return guest_pass();
}
