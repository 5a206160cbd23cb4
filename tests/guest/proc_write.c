// Files of /proc that take writes: comm, oom_score_adj, coredump_filter, of self and of a child, and by a thread.
#include "guest.h"

static void put(const char* path, const char* text) {
  int fd = SYS(open(path, O_WRONLY | O_CLOEXEC));
  CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
  SYS(close(fd));
}

int main(void) {
  guest_begin();
  char text[128], path[64];
  put("/proc/self/comm", "renamed");
  SYS(prctl(PR_GET_NAME, text));
  CHECK_STR(text, "renamed");
  struct gate down = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    gate_wait(&down);
    _exit(0);
  }
  snprintf(path, sizeof path, "/proc/%d/oom_score_adj", child);
  put(path, "500");
  CHECK(read_file(path, text, sizeof text) > 0);
  CHECK_EQ(atoi(text), 500);
  CHECK(read_file("/proc/self/oom_score_adj", text, sizeof text) > 0);
  CHECK_NE(atoi(text), 500);
  snprintf(path, sizeof path, "/proc/%d/coredump_filter", child);
  put(path, "0x11");
  CHECK(read_file(path, text, sizeof text) > 0);
  CHECK_EQ(strtol(text, NULL, 16), 0x11);
  // Another process is not renamed by this file.
  snprintf(path, sizeof path, "/proc/%d/comm", child);
  int fd = SYS(open(path, O_WRONLY | O_CLOEXEC));
  CHECK_ERRNO(write(fd, "x", 1), EINVAL);
  gate_open(&down);
  REAP(child);
  // CAP_DAC_OVERRIDE opens even what takes no writes.
  if (geteuid() != 0 || under_beam()) {
    CHECK_ERRNO(open("/proc/self/stat", O_WRONLY), EACCES);
  }
  return guest_pass();
}
