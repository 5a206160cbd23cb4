// A pidfd's fdinfo: Pid and NSpid are virtual; -1 after the end; of one that came by fork or from another process too.
#include "guest.h"

static void check(int fd, long pid) {
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
  CHECK(read_file(path, text, sizeof text) > 0);
  CHECK_EQ(field_of(text, "Pid"), pid);
  CHECK_EQ(field_of(text, "NSpid"), pid);
  if (under_beam()) {
    // One number: the sandbox is the only name space that it sees.
    const char* line = strstr(text, "NSpid:");
    char* end;
    strtol(line + 6, &end, 10);
    CHECK_EQ(*end, '\n');
  }
}

int main(void) {
  guest_begin();
  int self = (int)SYS(syscall(SYS_pidfd_open, getpid(), 0));
  check(self, getpid());
  struct gate down = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    check(self, getppid());
    gate_wait(&down);
    _exit(0);
  }
  int pidfd = (int)SYS(syscall(SYS_pidfd_open, child, 0));
  check(pidfd, child);
  pid_t other = guest_fork();
  if (other == 0) {
    check(pidfd, child);
    char path[64];
    // The same file seen from beside.
    snprintf(path, sizeof path, "/proc/%d/fdinfo/%d", getppid(), pidfd);
    CHECK_EQ(status_field(path, "Pid"), child);
    _exit(0);
  }
  REAP(other);
  gate_open(&down);
  REAP(child);
  check(pidfd, -1);
  return guest_pass();
}
