// eventfds across a freeze: the full counter, semaphores, shared and not, a reader that waits.
#include <sys/eventfd.h>

#include "guest.h"

int main(void) {
  guest_begin();
  int full = SYS(eventfd(0, EFD_NONBLOCK)), semaphore = SYS(eventfd(3, EFD_SEMAPHORE | EFD_CLOEXEC));
  int zero = SYS(eventfd(0, 0));
  uint64_t value = UINT64_MAX - 1;
  CHECK_EQ(write(full, &value, sizeof value), sizeof value);
  pid_t child = guest_fork();
  if (child == 0) {
    CHECK_EQ(read(zero, &value, sizeof value), sizeof value);
    CHECK_EQ(value, 5);
    CHECK_EQ(read(semaphore, &value, sizeof value), sizeof value);
    _exit(0);
  }
  wait_state(child, child, "S");
  guest_fence();
  uint64_t one = 1;
  CHECK_ERRNO(write(full, &one, sizeof one), EAGAIN);
  CHECK_EQ(read(full, &value, sizeof value), sizeof value);
  CHECK(value == UINT64_MAX - 1);
  value = 5;
  CHECK_EQ(write(zero, &value, sizeof value), sizeof value);
  REAP(child);
  guest_fence();
  for (int i = 0; i < 2; ++i) {
    CHECK_EQ(read(semaphore, &value, sizeof value), sizeof value);
    CHECK_EQ(value, 1);
  }
  SYS(fcntl(semaphore, F_SETFL, O_NONBLOCK));
  CHECK_ERRNO(read(semaphore, &value, sizeof value), EAGAIN);
  return guest_pass();
}
