// Blocking record locks and flock between processes: handed over at unlock, exit and SIGKILL; a deadlock gives EDEADLK.
#include <sys/file.h>

#include "guest.h"

static void take(int fd, off_t start, short type) {
  struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = 1};
  SYS(fcntl(fd, F_SETLKW, &lock));
}

int main(void) {
  guest_begin();
  int fd = SYS(open("file", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  struct gate up = gate_make();
  for (int way = 0; way < 3; ++way) {
    struct gate ready = gate_make(), down = gate_make();
    pid_t holder = guest_fork();
    if (holder == 0) {
      int mine = SYS(open("file", O_RDWR | O_CLOEXEC));
      take(mine, 0, F_WRLCK);
      SYS(flock(mine, LOCK_EX));
      gate_open(&ready);
      gate_wait(&down);
      if (way == 0) {
        take(mine, 0, F_UNLCK);
        SYS(flock(mine, LOCK_UN));
      }
      _exit(0);
    }
    gate_wait(&ready);
    pid_t waiters[2];
    for (int i = 0; i < 2; ++i) {
      waiters[i] = guest_fork();
      if (waiters[i] == 0) {
        int mine = SYS(open("file", O_RDWR | O_CLOEXEC));
        if (i == 0) {
          take(mine, 0, F_WRLCK);
        } else {
          SYS(flock(mine, LOCK_EX));
        }
        gate_open(&up);
        _exit(0);
      }
      wait_state(waiters[i], waiters[i], "S");
    }
    struct pollfd poll_fd = {.fd = up.fd[0], .events = POLLIN};
    CHECK_EQ(poll(&poll_fd, 1, 0), 0);
    if (way == 2) {
      SYS(kill(holder, SIGKILL));
      REAP_SIGNAL(holder, SIGKILL);
    } else {
      gate_open(&down);
      REAP(holder);
    }
    gate_wait(&up);
    gate_wait(&up);
    REAP(waiters[0]);
    REAP(waiters[1]);
  }
  // Each holds what the other wants: whoever asks second is refused, and then lets the other have it.
  struct gate ready = gate_make();
  take(fd, 10, F_WRLCK);
  pid_t child = guest_fork();
  if (child == 0) {
    take(fd, 20, F_WRLCK);
    gate_open(&ready);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 1};
    if (fcntl(fd, F_SETLKW, &lock) == 0) {
      _exit(1);
    }
    _exit(errno == EDEADLK ? 2 : 3);
  }
  gate_wait(&ready);
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 20, .l_len = 1};
  int result = fcntl(fd, F_SETLKW, &lock);
  CHECK(result == 0 || errno == EDEADLK);
  take(fd, 10, F_UNLCK);
  REAP_CODE(child, result == 0 ? 2 : 1);
  return guest_pass();
}
