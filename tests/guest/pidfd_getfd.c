// pidfd_getfd: a descriptor of a child by its pidfd; wrong numbers are refused.
#include "guest.h"

int main(void) {
  guest_begin();
  struct gate up = gate_make(), down = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    int fd = SYS(open("file", O_RDWR | O_CREAT, 0600));
    CHECK_EQ(write(fd, "content", 7), 7);
    SYS(lseek(fd, 3, SEEK_SET));
    gate_send(&up, fd);
    gate_wait(&down);
    // The offset is shared.
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 7);
    _exit(0);
  }
  int remote = (int)gate_receive(&up);
  int pidfd = (int)SYS(syscall(SYS_pidfd_open, child, 0));
  int fd = (int)syscall(SYS_pidfd_getfd, pidfd, remote, 0);
  if (fd < 0) {
    FAIL("pidfd_getfd: errno %d (%s)", errno, strerror(errno));
  }
  char text[16];
  CHECK_EQ(read_fd(fd, text, sizeof text), 4);
  CHECK_STR(text, "tent");
  CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
  CHECK_ERRNO(syscall(SYS_pidfd_getfd, pidfd, 999, 0), EBADF);
  CHECK_ERRNO(syscall(SYS_pidfd_getfd, pidfd, remote, 1), EINVAL);
  CHECK_ERRNO(syscall(SYS_pidfd_getfd, fd, remote, 0), EBADF);
  gate_open(&down);
  REAP(child);
  CHECK_ERRNO(syscall(SYS_pidfd_getfd, pidfd, remote, 0), ESRCH);
  return guest_pass();
}
