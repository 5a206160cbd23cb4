// no_new_privs is set and inherited; capget and capset by pid; securebits, keepcaps, parent's death signal survive fork
// as they do natively.
#include <linux/capability.h>

#include "guest.h"

int main(void) {
  guest_begin();
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  struct __user_cap_data_struct own[2], other[2];
  SYS(syscall(SYS_capget, &header, own));
  header.pid = getpid();
  SYS(syscall(SYS_capget, &header, other));
  CHECK_EQ(memcmp(own, other, sizeof own), 0);
  if (under_beam() && geteuid() != 0) {  // root keeps what it has: the views are not a jail yet
    CHECK_EQ(own[0].effective | own[1].effective, 0);
  }
  struct gate down = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    gate_wait(&down);
    _exit(0);
  }
  header.pid = child;
  SYS(syscall(SYS_capget, &header, other));
  CHECK_EQ(memcmp(own, other, sizeof own), 0);
  header.pid = 0x3fffffff;
  CHECK_ERRNO(syscall(SYS_capget, &header, other), ESRCH);
  header.pid = -1;
  CHECK_ERRNO(syscall(SYS_capget, &header, other), EINVAL);
  header.pid = child;
  CHECK_ERRNO(syscall(SYS_capset, &header, own), EPERM);
  header = (struct __user_cap_header_struct){.version = 0x12345678};
  CHECK_ERRNO(syscall(SYS_capget, &header, other), EINVAL);
  CHECK_EQ(header.version, _LINUX_CAPABILITY_VERSION_3);
  // Setting what one has is always allowed.
  header.pid = getpid();
  SYS(syscall(SYS_capset, &header, own));
  gate_open(&down);
  REAP(child);

  SYS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
  CHECK_ERRNO(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), EINVAL);
  CHECK_EQ(status_field("/proc/self/status", "NoNewPrivs"), 1);
  SYS(prctl(PR_SET_KEEPCAPS, 1));
  CHECK_EQ(prctl(PR_GET_KEEPCAPS), 1);
  CHECK_ERRNO(prctl(12345, 0, 0, 0, 0), EINVAL);
  return guest_pass();
}
