// alarm, setitimer and timerfd in a sandbox: expirations arrive, remaining time is told, nothing is inherited by fork.
#include <sys/time.h>
#include <sys/timerfd.h>

#include "guest.h"

static struct gate hit;

static void handler(int signal, siginfo_t* info, void* context) {
  (void)info;
  (void)context;
  gate_send(&hit, signal);
}

int main(void) {
  guest_begin();
  hit = gate_make();
  CHECK(alarm(kGuestDeadline) > 0);
  guest_handle(SIGVTALRM, handler, SA_RESTART);
  guest_handle(SIGPROF, handler, SA_RESTART);
  struct itimerval soon = {.it_value = {0, 2000}};
  SYS(setitimer(ITIMER_VIRTUAL, &soon, NULL));
  struct pollfd poll_fd = {.fd = hit.fd[0], .events = POLLIN};
  while (poll(&poll_fd, 1, 0) != 1) {
  }
  CHECK_EQ(gate_receive(&hit), SIGVTALRM);
  SYS(setitimer(ITIMER_PROF, &soon, NULL));
  while (poll(&poll_fd, 1, 0) != 1) {
  }
  CHECK_EQ(gate_receive(&hit), SIGPROF);
  pid_t child = fork();
  if (child == 0) {
    _exit(alarm(0) == 0 ? 0 : 1);
  }
  REAP(child);
  int fd = SYS(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
  struct itimerspec every = {.it_interval = {0, 500000}, .it_value = {0, 500000}};
  SYS(timerfd_settime(fd, 0, &every, NULL));
  uint64_t ticks = 0;
  for (uint64_t sum = 0; sum < 5; sum += ticks) {
    CHECK_EQ(read(fd, &ticks, sizeof ticks), sizeof ticks);
  }
  return guest_pass();
}
