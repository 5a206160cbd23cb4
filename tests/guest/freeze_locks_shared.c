// Locks that belong to a description, across a freeze: shared by dup and fork, released by whoever has it; leases; many
// ranges; locks on a file that has been removed.
#include <sys/file.h>

#include "guest.h"

static int lock(int fd, int command, short type, off_t start, off_t length) {
  struct flock range = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
  return fcntl(fd, command, &range);
}

int main(void) {
  guest_begin();
  write_file("flock", "x", 0600);
  write_file("ofd", "x", 0600);
  write_file("ranges", "x", 0600);
  write_file("lease", "x", 0600);
  int whole = SYS(open("flock", O_RDONLY)), copy = SYS(dup(whole)), other = SYS(open("flock", O_RDONLY));
  SYS(flock(whole, LOCK_EX));
  int ofd = SYS(open("ofd", O_RDWR)), ofd_other = SYS(open("ofd", O_RDWR));
  SYS(lock(ofd, F_OFD_SETLK, F_WRLCK, 10, 5));
  SYS(lock(ofd, F_OFD_SETLK, F_RDLCK, 100, 5));
  int ranges = SYS(open("ranges", O_RDWR));
  for (int i = 0; i < 40; ++i) {
    SYS(lock(ranges, F_SETLK, i % 2 ? F_RDLCK : F_WRLCK, i * 10, 5));
  }
  int lease = SYS(open("lease", O_RDWR));
  bool leased = fcntl(lease, F_SETLEASE, F_WRLCK) == 0;
  int gone = SYS(open("gone", O_RDWR | O_CREAT, 0600)), gone_reader = SYS(open("gone", O_RDWR));
  SYS(unlink("gone"));
  SYS(flock(gone, LOCK_SH));
  struct gate go = gate_make(), done = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    gate_wait(&go);
    SYS(flock(whole, LOCK_UN));
    CHECK_ERRNO(lock(ranges, F_SETLK, F_RDLCK, 20, 1), EAGAIN);
    SYS(lock(ranges, F_SETLK, F_RDLCK, 10, 1));
    gate_open(&done);
    _exit(0);
  }
  guest_fence();
  CHECK_ERRNO(flock(other, LOCK_SH | LOCK_NB), EWOULDBLOCK);
  SYS(flock(copy, LOCK_EX | LOCK_NB));
  CHECK_ERRNO(lock(ofd_other, F_OFD_SETLK, F_RDLCK, 12, 1), EAGAIN);
  CHECK_ERRNO(lock(ofd_other, F_OFD_SETLK, F_WRLCK, 101, 1), EAGAIN);
  SYS(lock(ofd_other, F_OFD_SETLK, F_RDLCK, 101, 1));
  SYS(lock(ofd_other, F_OFD_SETLK, F_WRLCK, 50, 1));
  CHECK_ERRNO(flock(gone_reader, LOCK_EX | LOCK_NB), EWOULDBLOCK);
  SYS(flock(gone_reader, LOCK_SH | LOCK_NB));
  if (leased) {
    CHECK_EQ(fcntl(lease, F_GETLEASE), F_WRLCK);
  }
  gate_open(&go);
  gate_wait(&done);
  SYS(flock(other, LOCK_EX | LOCK_NB));
  guest_fence();
  CHECK_ERRNO(flock(whole, LOCK_SH | LOCK_NB), EWOULDBLOCK);
  REAP(child);
  return guest_pass();
}
