// /proc/self/mem and a child's: reading and writing memory through them, maps that name the same addresses.
#include "guest.h"

static char text[64] = "original";

int main(void) {
  guest_begin();
  char path[64], buffer[64] = "";
  struct gate up = gate_make(), down = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    strcpy(text, "of the child");
    gate_open(&up);
    gate_wait(&down);
    CHECK_STR(text, "from outside");
    _exit(0);
  }
  gate_wait(&up);
  int fd = SYS(open("/proc/self/mem", O_RDWR | O_CLOEXEC));
  CHECK_EQ(pread(fd, buffer, sizeof buffer, (off_t)(uintptr_t)text), sizeof buffer);
  CHECK_STR(buffer, "original");
  CHECK_EQ(pwrite(fd, "changed", 8, (off_t)(uintptr_t)text), 8);
  CHECK_STR(text, "changed");
  close(fd);
  snprintf(path, sizeof path, "/proc/%d/mem", child);
  fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) {
    FAIL("%s: errno %d (%s)", path, errno, strerror(errno));
  }
  CHECK_EQ(pread(fd, buffer, sizeof buffer, (off_t)(uintptr_t)text), sizeof buffer);
  CHECK_STR(buffer, "of the child");
  CHECK_EQ(pwrite(fd, "from outside", 13, (off_t)(uintptr_t)text), 13);
  close(fd);
  gate_open(&down);
  REAP(child);
  return guest_pass();
}
