// tcsetpgrp and tcgetpgrp: the foreground group by virtual number, from leader and members; wrong groups are refused.
#include "tty.h"

int main(void) {
  guest_begin();
  char slave[64];
  int master = tty_open(slave, sizeof slave);
  pid_t child = guest_fork();
  if (child == 0) {
    int fd = tty_lead(slave);
    signal(SIGTTOU, SIG_IGN);
    struct gate up = gate_make(), down = gate_make();
    pid_t member = guest_fork();
    if (member == 0) {
      SYS(setpgid(0, 0));
      gate_open(&up);
      gate_wait(&down);
      CHECK_EQ(tcgetpgrp(fd), getpid());
      SYS(tcsetpgrp(fd, getppid()));
      gate_open(&up);
      gate_wait(&down);
      _exit(0);
    }
    gate_wait(&up);
    CHECK_EQ(tcgetpgrp(fd), getpid());
    SYS(tcsetpgrp(fd, member));
    CHECK_EQ(tcgetpgrp(fd), member);
    pid_t seen = 0;
    SYS(ioctl(master, TIOCGPGRP, &seen));
    CHECK_EQ(seen, member);
    struct proc_stat stat;
    CHECK(read_stat("/proc/self/stat", &stat));
    CHECK_EQ(stat.tpgid, member);
    gate_open(&down);
    gate_wait(&up);
    CHECK_EQ(tcgetpgrp(fd), getpid());
    // Through /dev/tty as well.
    int tty = SYS(open("/dev/tty", O_RDWR | O_CLOEXEC));
    SYS(tcsetpgrp(tty, member));
    CHECK_EQ(tcgetpgrp(fd), member);

    CHECK_ERRNO(tcsetpgrp(fd, 0x3fffffff), ESRCH);
    CHECK_ERRNO(tcsetpgrp(fd, -5), EINVAL);
    CHECK_ERRNO(ioctl(fd, TIOCSPGRP, 8), EFAULT);
    CHECK_ERRNO(ioctl(fd, TIOCGPGRP, 8), EFAULT);
    // A group of another session.
    CHECK_ERRNO(tcsetpgrp(fd, getpgid(guest_top)), EPERM);
    int null = SYS(open("/dev/null", O_RDWR | O_CLOEXEC));
    CHECK_ERRNO(tcgetpgrp(null), ENOTTY);
    CHECK_ERRNO(tcsetpgrp(null, getpid()), ENOTTY);
    CHECK_ERRNO(tcgetpgrp(-1), EBADF);
    // When the foreground group dies its number stays until somebody sets another.
    gate_open(&down);
    REAP(member);
    SYS(tcsetpgrp(fd, getpid()));
    CHECK_EQ(tcgetpgrp(fd), getpid());
    _exit(0);
  }
  REAP(child);
  return guest_pass();
}
