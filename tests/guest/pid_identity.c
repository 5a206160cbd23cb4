// getpid, gettid and getppid: raw calls, the C library and /proc agree, and under Beam the numbers are virtual.
#include "guest.h"

int main(void) {
  guest_begin();
  CHECK_EQ(getpid(), raw_getpid());
  CHECK_EQ(getppid(), syscall(SYS_getppid));
  CHECK_EQ(raw_gettid(), getpid());
  CHECK(getpid() > 0);

  char link[64] = "";
  SYS(readlink("/proc/self", link, sizeof link - 1));
  CHECK_EQ(atoi(link), getpid());
  memset(link, 0, sizeof link);
  SYS(readlink("/proc/thread-self", link, sizeof link - 1));
  char expected[64];
  snprintf(expected, sizeof expected, "%d/task/%d", getpid(), getpid());
  CHECK_STR(link, expected);

  CHECK_EQ(status_field("/proc/self/status", "Pid"), getpid());
  CHECK_EQ(status_field("/proc/self/status", "Tgid"), getpid());
  CHECK_EQ(status_field("/proc/self/status", "PPid"), getppid());

  if (under_beam()) {
    // Nothing but an init can have come before.
    CHECK(getpid() <= 8);
    CHECK_EQ(getppid(), getpid() == 1 ? 0 : 1);
  }
  return guest_pass();
}
