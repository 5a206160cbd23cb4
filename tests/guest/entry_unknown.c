// System call numbers that nobody has: ENOSYS. io_uring: ENOSYS in a sandbox, so that programs fall back.
#include "guest.h"

int main(void) {
  guest_begin();
  const long numbers[] = {400, 423, 700, 1000, 5000, 100000, 0x3fffffff, -1, -2, -100};
  for (unsigned i = 0; i < sizeof numbers / sizeof numbers[0]; ++i) {
    errno = 0;
    long got = syscall(numbers[i], 1, 2, 3, 4, 5, 6);
    if (got != -1 || errno != ENOSYS) {
      FAIL("syscall(%ld): got %ld with errno %d, expected -1 with ENOSYS", numbers[i], got, errno);
    }
  }
  char parameters[120] = {0};
  long ring = syscall(SYS_io_uring_setup, 4, parameters);
  if (under_beam()) {
    CHECK_EQ(ring, -1);
    CHECK_EQ(errno, ENOSYS);
    CHECK_ERRNO(syscall(SYS_io_uring_enter, 0, 0, 0, 0, 0, 0), ENOSYS);
    CHECK_ERRNO(syscall(SYS_io_uring_register, 0, 0, 0, 0), ENOSYS);
  }
  return guest_pass();
}
