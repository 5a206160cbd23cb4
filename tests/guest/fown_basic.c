// F_SETOWN, F_GETOWN, F_SETOWN_EX, F_GETOWN_EX, FIOSETOWN, FIOGETOWN, SIOCSPGRP and SIOCGPGRP: pids, tids and groups as
// set.
#include <asm/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "guest.h"

int main(void) {
  guest_begin();
  int pair[2];
  SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  int fd = pair[0];
  pid_t self = getpid();
  struct gate down = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    SYS(setpgid(0, 0));
    gate_open(&down);
    for (;;) {
      pause();
    }
  }
  gate_wait(&down);
  CHECK_EQ(fcntl(fd, F_GETOWN), 0);
  SYS(fcntl(fd, F_SETOWN, self));
  CHECK_EQ(fcntl(fd, F_GETOWN), self);
  SYS(fcntl(fd, F_SETOWN, child));
  CHECK_EQ(fcntl(fd, F_GETOWN), child);
  SYS(fcntl(fd, F_SETOWN, -child));
  // A small negative number looks like an error of the raw call; the library asks by F_GETOWN_EX.
  CHECK_EQ(fcntl(fd, F_GETOWN), -child);
  struct f_owner_ex owner = {0};
  SYS(fcntl(fd, F_GETOWN_EX, &owner));
  CHECK_EQ(owner.type, F_OWNER_PGRP);
  CHECK_EQ(owner.pid, child);
  owner = (struct f_owner_ex){F_OWNER_TID, raw_gettid()};
  SYS(fcntl(fd, F_SETOWN_EX, &owner));
  memset(&owner, 0, sizeof owner);
  SYS(fcntl(fd, F_GETOWN_EX, &owner));
  CHECK_EQ(owner.type, F_OWNER_TID);
  CHECK_EQ(owner.pid, raw_gettid());
  owner = (struct f_owner_ex){F_OWNER_PID, child};
  SYS(fcntl(fd, F_SETOWN_EX, &owner));
  CHECK_EQ(fcntl(fd, F_GETOWN), child);
  owner = (struct f_owner_ex){F_OWNER_PGRP, child};
  SYS(fcntl(fd, F_SETOWN_EX, &owner));
  CHECK_EQ(fcntl(fd, F_GETOWN), -child);

  int value = self;
  SYS(ioctl(fd, FIOSETOWN, &value));
  value = 0;
  SYS(ioctl(fd, FIOGETOWN, &value));
  CHECK_EQ(value, self);
  CHECK_EQ(fcntl(fd, F_GETOWN), self);
  value = -child;
  SYS(ioctl(fd, SIOCSPGRP, &value));
  value = 0;
  SYS(ioctl(fd, SIOCGPGRP, &value));
  CHECK_EQ(value, -child);

  CHECK_ERRNO(fcntl(fd, F_SETOWN, 0x3fffffff), ESRCH);
  CHECK_ERRNO(fcntl(fd, F_SETOWN, -0x3fffffff), ESRCH);
  CHECK_ERRNO(fcntl(fd, F_SETOWN, INT_MIN), EINVAL);
  owner = (struct f_owner_ex){77, self};
  CHECK_ERRNO(fcntl(fd, F_SETOWN_EX, &owner), EINVAL);
  owner = (struct f_owner_ex){F_OWNER_PID, 0x3fffffff};
  CHECK_ERRNO(fcntl(fd, F_SETOWN_EX, &owner), ESRCH);
  CHECK_ERRNO(syscall(SYS_fcntl, fd, F_SETOWN_EX, 8), EFAULT);
  CHECK_ERRNO(syscall(SYS_fcntl, fd, F_GETOWN_EX, 8), EFAULT);
  CHECK_EQ(fcntl(fd, F_GETOWN), -child);
  SYS(fcntl(fd, F_SETOWN, 0));
  CHECK_EQ(fcntl(fd, F_GETOWN), 0);

  // The owner is the open file's: a duplicate and a child see it; the dead are forgotten.
  SYS(fcntl(fd, F_SETOWN, child));
  int copy = SYS(dup(fd));
  CHECK_EQ(fcntl(copy, F_GETOWN), child);
  pid_t other = guest_fork();
  if (other == 0) {
    _exit(fcntl(fd, F_GETOWN) == child ? 0 : 1);
  }
  REAP(other);
  SYS(kill(child, SIGKILL));
  REAP_SIGNAL(child, SIGKILL);
  CHECK_EQ(fcntl(fd, F_GETOWN), 0);
  return guest_pass();
}
