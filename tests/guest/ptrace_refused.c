// Nested tracing: natively it works, in a sandbox every way into it is refused with EPERM and the program goes on.
#include <sys/ptrace.h>

#include "guest.h"

int main(void) {
  guest_begin();
  struct gate up = gate_make(), down = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    gate_open(&up);
    gate_wait(&down);
    _exit(0);
  }
  gate_wait(&up);
  if (under_beam()) {
    CHECK_ERRNO(ptrace(PTRACE_SEIZE, child, 0, 0), EPERM);
    CHECK_ERRNO(ptrace(PTRACE_ATTACH, child, 0, 0), EPERM);
    CHECK_ERRNO(ptrace(PTRACE_TRACEME, 0, 0, 0), EPERM);
    CHECK_EQ(status_field("/proc/self/status", "TracerPid"), 0);
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", child);
    CHECK_EQ(status_field(path, "TracerPid"), 0);
  } else if (ptrace(PTRACE_SEIZE, child, 0, 0) == 0) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", child);
    CHECK_EQ(status_field(path, "TracerPid"), getpid());
    SYS(ptrace(PTRACE_INTERRUPT, child, 0, 0));
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFSTOPPED(status));
    SYS(ptrace(PTRACE_DETACH, child, 0, 0));
  } else {
    CHECK_EQ(errno, EPERM);
  }
  gate_open(&down);
  REAP(child);
  return guest_pass();
}
