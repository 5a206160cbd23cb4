// F_GETLK's l_pid is the holder's: of another process's record lock; -1 of an open file description lock.
#include "guest.h"

int main(void) {
  guest_begin();
  int fd = SYS(open("file", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  struct gate up = gate_make(), down = gate_make();
  pid_t children[2];
  for (int i = 0; i < 2; ++i) {
    children[i] = guest_fork();
    if (children[i] == 0) {
      struct flock lock = {.l_type = i ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET, .l_start = i * 100, .l_len = 10};
      SYS(fcntl(fd, F_SETLK, &lock));
      gate_open(&up);
      gate_wait(&down);
      _exit(0);
    }
    gate_wait(&up);
  }
  for (int i = 0; i < 2; ++i) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = i * 100 + 5, .l_len = 50};
    SYS(fcntl(fd, F_GETLK, &lock));
    CHECK_EQ(lock.l_type, i ? F_RDLCK : F_WRLCK);
    CHECK_EQ(lock.l_pid, children[i]);
    CHECK_EQ(lock.l_start, i * 100);
    CHECK_EQ(lock.l_len, 10);
    lock = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = i * 100 + 5, .l_len = 50};
    CHECK_ERRNO(fcntl(fd, F_SETLK, &lock), EAGAIN);
    // By an open file description's request the holder is a process all the same.
    lock.l_pid = 0;
    SYS(fcntl(fd, F_OFD_GETLK, &lock));
    CHECK_EQ(lock.l_pid, children[i]);
  }
  struct flock free_lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 1000, .l_len = 1, .l_pid = 77};
  SYS(fcntl(fd, F_GETLK, &free_lock));
  CHECK_EQ(free_lock.l_type, F_UNLCK);
  CHECK_EQ(free_lock.l_pid, 77);
  // One's own lock is in nobody's way.
  struct flock own = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 1000, .l_len = 1};
  SYS(fcntl(fd, F_SETLK, &own));
  SYS(fcntl(fd, F_GETLK, &own));
  CHECK_EQ(own.l_type, F_UNLCK);

  int other = SYS(open("file", O_RDWR | O_CLOEXEC));
  struct flock ofd = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 2000, .l_len = 1};
  SYS(fcntl(other, F_OFD_SETLK, &ofd));
  struct flock asked = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 2000, .l_len = 1};
  SYS(fcntl(fd, F_GETLK, &asked));
  CHECK_EQ(asked.l_type, F_WRLCK);
  CHECK_EQ(asked.l_pid, -1);
  ofd.l_pid = 5;
  CHECK_ERRNO(fcntl(other, F_OFD_SETLK, &ofd), EINVAL);
  CHECK_ERRNO(syscall(SYS_fcntl, fd, F_GETLK, 8), EFAULT);
  gate_open(&down);
  gate_open(&down);
  REAP(children[0]);
  REAP(children[1]);
  return guest_pass();
}
