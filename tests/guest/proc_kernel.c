// What the kernel's own files say of pids: loadavg's last pid, pid_max, sysvipc, net and locks speak of the sandbox.
#include "guest.h"

int main(void) {
  guest_begin();
  char text[4096];
  CHECK(read_file("/proc/sys/kernel/pid_max", text, sizeof text) > 0);
  long most = atol(text);
  CHECK(most > 300);
  CHECK(getpid() < most);
  pid_t child = guest_fork();
  if (child == 0) {
    _exit(0);
  }
  REAP(child);
  CHECK(read_file("/proc/loadavg", text, sizeof text) > 0);
  int running, total, last;
  float one, five, fifteen;
  CHECK_EQ(sscanf(text, "%f %f %f %d/%d %d", &one, &five, &fifteen, &running, &total, &last), 6);
  if (under_beam()) {
    CHECK_EQ(last, child);
    CHECK(running >= 1 && running <= total);  // of the workstation: the sandbox has no load of its own
  } else {
    CHECK(last > 0);
  }
  return guest_pass();
}
