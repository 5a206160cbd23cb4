// pidfds across a freeze: of a live process, of a zombie, of one that has been waited for, of oneself.
#include <poll.h>
#include <signal.h>

#include "guest.h"

static int pidfd_open_(pid_t pid) {
  return (int)SYS(syscall(SYS_pidfd_open, pid, 0));
}
static bool ended(int fd) {
  struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
  SYS(poll(&poll_fd, 1, 0));
  return poll_fd.revents & POLLIN;
}

int main(void) {
  guest_begin();
  pid_t live = guest_fork();
  if (live == 0) {
    for (;;) {
      pause();
    }
  }
  pid_t zombie = guest_fork();
  if (zombie == 0) {
    _exit(7);
  }
  pid_t reaped = guest_fork();
  if (reaped == 0) {
    _exit(0);
  }
  int live_fd = pidfd_open_(live), zombie_fd = pidfd_open_(zombie), reaped_fd = pidfd_open_(reaped);
  int own_fd = pidfd_open_(getpid());
  REAP(reaped);
  wait_state(zombie, zombie, "Z");
  guest_fence();
  CHECK(!ended(live_fd) && !ended(own_fd));
  CHECK(ended(zombie_fd));
  CHECK(ended(reaped_fd));
  CHECK_ERRNO(syscall(SYS_pidfd_send_signal, reaped_fd, 0, NULL, 0), ESRCH);
  SYS(syscall(SYS_pidfd_send_signal, own_fd, 0, NULL, 0));
  siginfo_t info = {0};
  SYS(waitid(P_PIDFD, (id_t)zombie_fd, &info, WEXITED));
  CHECK_EQ(info.si_pid, zombie);
  CHECK_EQ(info.si_status, 7);
  guest_fence();
  SYS(syscall(SYS_pidfd_send_signal, live_fd, SIGTERM, NULL, 0));
  REAP_SIGNAL(live, SIGTERM);
  CHECK(ended(live_fd));
  return guest_pass();
}
