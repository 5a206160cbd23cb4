// clone(2) with CLONE_PIDFD: the descriptor names the child, polls readable at its end and waits for it.
#include "guest.h"

int main(void) {
  guest_begin();
  int pidfd = -1;
  struct gate go = gate_make();
  pid_t child = (pid_t)SYS(syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, NULL, &pidfd, NULL, 0));
  if (child == 0) {
    gate_wait(&go);
    _exit(21);
  }
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
  CHECK_EQ(status_field(path, "Pid"), child);
  struct pollfd poll_fd = {.fd = pidfd, .events = POLLIN};
  CHECK_EQ(poll(&poll_fd, 1, 0), 0);
  gate_open(&go);
  CHECK_EQ(poll(&poll_fd, 1, -1), 1);
  CHECK(poll_fd.revents & POLLIN);
  REAP_CODE(child, 21);
  CHECK_ERRNO(syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0), ESRCH);
  return guest_pass();
}
