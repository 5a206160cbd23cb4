// Who gets SIGIO across a freeze: owner by process and by group, the chosen signal, O_ASYNC, the descriptor in siginfo.
#include <poll.h>
#include <signal.h>

#include "guest.h"

static volatile sig_atomic_t seen_fd, seen_count;

static void on_signal(int signal, siginfo_t* info, void* context) {
  (void)signal;
  (void)context;
  seen_fd = info->si_fd;
  ++seen_count;
}

int main(void) {
  guest_begin();
  int signal = SIGRTMIN + 2;
  guest_handle(signal, on_signal, SA_RESTART);
  int ends[2], plain[2];
  SYS(pipe(ends));
  SYS(pipe(plain));
  SYS(fcntl(ends[0], F_SETOWN, getpid()));
  SYS(fcntl(ends[0], F_SETSIG, signal));
  SYS(fcntl(ends[0], F_SETFL, O_ASYNC | O_NONBLOCK));
  struct f_owner_ex group = {.type = F_OWNER_PGRP, .pid = getpgrp()};
  SYS(fcntl(plain[0], F_SETOWN_EX, &group));
  guest_fence();
  CHECK_EQ(seen_count, 0);
  CHECK_EQ(fcntl(ends[0], F_GETOWN), getpid());
  CHECK_EQ(fcntl(ends[0], F_GETSIG), signal);
  CHECK_EQ(fcntl(ends[0], F_GETFL) & (O_ASYNC | O_NONBLOCK), O_ASYNC | O_NONBLOCK);
  struct f_owner_ex now;
  SYS(fcntl(plain[0], F_GETOWN_EX, &now));
  CHECK_EQ(now.type, F_OWNER_PGRP);
  CHECK_EQ(now.pid, getpgrp());
  CHECK_EQ(write(ends[1], "x", 1), 1);
  while (seen_count == 0) {
    sched_yield();
  }
  CHECK_EQ(seen_fd, ends[0]);
  guest_fence();
  CHECK_EQ(seen_count, 1);
  CHECK_EQ(fcntl(ends[0], F_GETOWN), getpid());
  return guest_pass();
}
