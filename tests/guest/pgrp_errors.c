// setpgid, getpgid, setsid and getsid refuse what POSIX says.
#include "guest.h"

int main(int argc, char** argv) {
  guest_begin();
  if (argc == 2) {
    // Executed: the parent may not change this group any more.
    int fd = atoi(argv[1]);
    long one = 1;
    CHECK_EQ(write(fd, &one, sizeof one), sizeof one);
    for (;;) {
      pause();
    }
  }
  enum { kNobody = 0x3fffffff };
  CHECK_ERRNO(getpgid(kNobody), ESRCH);
  CHECK_ERRNO(getsid(kNobody), ESRCH);
  CHECK_ERRNO(getpgid(-1), ESRCH);
  CHECK_ERRNO(getsid(-1), ESRCH);
  CHECK_ERRNO(setpgid(kNobody, 0), ESRCH);
  CHECK_ERRNO(setpgid(0, -1), EINVAL);
  CHECK_ERRNO(setpgid(0, kNobody), EPERM);
  // Not a child.
  CHECK_ERRNO(setpgid(getppid(), 0), ESRCH);

  pid_t child = guest_fork();
  if (child == 0) {
    SYS(setsid());
    CHECK_ERRNO(setsid(), EPERM);
    CHECK_ERRNO(setpgid(0, 0), EPERM);
    pid_t grandchild = guest_fork();
    if (grandchild == 0) {
      SYS(setpgid(0, 0));
      // A group leader can't start a session.
      CHECK_ERRNO(setsid(), EPERM);
      _exit(0);
    }
    REAP(grandchild);
    // A group of another session.
    grandchild = guest_fork();
    if (grandchild == 0) {
      CHECK_ERRNO(setpgid(0, guest_top), EPERM);
      _exit(0);
    }
    REAP(grandchild);
    _exit(0);
  }
  REAP(child);

  int fd[2];
  SYS(pipe(fd));
  child = guest_fork();
  if (child == 0) {
    char number[16];
    snprintf(number, sizeof number, "%d", fd[1]);
    execl("/proc/self/exe", argv[0], number, (char*)NULL);
    _exit(127);
  }
  long one;
  CHECK_EQ(read(fd[0], &one, sizeof one), sizeof one);
  CHECK_ERRNO(setpgid(child, child), EACCES);
  SYS(kill(child, SIGKILL));
  REAP_SIGNAL(child, SIGKILL);
  CHECK_ERRNO(setpgid(child, child), ESRCH);
  CHECK_ERRNO(getpgid(child), ESRCH);
  return guest_pass();
}
