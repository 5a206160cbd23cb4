// File locks across a freeze: of the process, of the description, of flock; ranges, kinds, a waiter that goes on
// waiting.
#include <sys/file.h>

#include "guest.h"

static int lock(int fd, int command, short type, off_t start, off_t length) {
  struct flock range = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
  return fcntl(fd, command, &range);
}

// What another process finds: the kind of lock that is in its way, and whose.
static void expect(const char* path, short type, off_t start, short found, pid_t owner) {
  pid_t child = guest_fork();
  if (child == 0) {
    int fd = SYS(open(path, O_RDWR));
    struct flock range = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = 1};
    SYS(fcntl(fd, F_GETLK, &range));
    CHECK_EQ(range.l_type, found);
    if (found != F_UNLCK) {
      CHECK_EQ(range.l_pid, owner);
    }
    _exit(0);
  }
  REAP(child);
}

int main(void) {
  guest_begin();
  write_file("posix", "0123456789", 0600);
  write_file("ofd", "0123456789", 0600);
  write_file("whole", "x", 0600);
  write_file("lease", "x", 0600);
  int posix = SYS(open("posix", O_RDWR)), ofd = SYS(open("ofd", O_RDWR));
  int whole = SYS(open("whole", O_RDONLY)), lease = SYS(open("lease", O_RDONLY));
  SYS(lock(posix, F_SETLK, F_WRLCK, 2, 3));
  SYS(lock(posix, F_SETLK, F_RDLCK, 100, 0));
  SYS(lock(ofd, F_OFD_SETLK, F_WRLCK, 0, 0));
  SYS(flock(whole, LOCK_EX));
  bool leased = fcntl(lease, F_SETLEASE, F_RDLCK) == 0;
  struct gate done = gate_make();
  pid_t waiter = guest_fork();
  if (waiter == 0) {
    int own = SYS(open("posix", O_RDWR));
    SYS(lock(own, F_SETLKW, F_WRLCK, 2, 1));
    gate_open(&done);
    _exit(0);
  }
  pid_t whole_waiter = guest_fork();
  if (whole_waiter == 0) {
    int own = SYS(open("whole", O_RDONLY));
    int got;
    do {
      got = flock(own, LOCK_SH);
    } while (got != 0 && errno == EINTR);
    gate_open(&done);
    _exit(0);
  }
  wait_state(waiter, waiter, "S");
  wait_state(whole_waiter, whole_waiter, "S");

  for (int round = 0; round < 2; ++round) {
    guest_fence();
    expect("posix", F_RDLCK, 1, F_UNLCK, 0);
    expect("posix", F_RDLCK, 2, F_WRLCK, getpid());
    expect("posix", F_RDLCK, 4, F_WRLCK, getpid());
    expect("posix", F_RDLCK, 5, F_UNLCK, 0);
    expect("posix", F_WRLCK, 5000, F_RDLCK, getpid());
    expect("posix", F_RDLCK, 5000, F_UNLCK, 0);
    expect("ofd", F_RDLCK, 0, F_WRLCK, -1);
    int own = SYS(open("whole", O_RDONLY));
    CHECK_ERRNO(flock(own, LOCK_SH | LOCK_NB), EWOULDBLOCK);
    SYS(close(own));
    if (leased) {
      CHECK_EQ(fcntl(lease, F_GETLEASE), F_RDLCK);
    }
  }
  SYS(lock(posix, F_SETLK, F_UNLCK, 2, 3));
  gate_wait(&done);
  SYS(flock(whole, LOCK_UN));
  gate_wait(&done);
  REAP(waiter);
  REAP(whole_waiter);
  return guest_pass();
}
