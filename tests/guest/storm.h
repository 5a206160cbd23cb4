// A timer that fires a thousand times a second at the process, with a handler, while the guest hammers calls: none of
// them may fail or lose its result by that, beyond what the kernel does natively.
#pragma once
#include <sys/time.h>

#include "guest.h"

static volatile sig_atomic_t storm_ticks;

static void storm_tick(int signal) {
  (void)signal;
  storm_ticks = storm_ticks + 1;
}

// SIGPROF counts processor time only, so the real-time timer it is, with SIGALRM moved away from the deadline's.
__attribute__((unused)) static timer_t storm_begin(int flags) {
  struct sigaction action = {.sa_handler = storm_tick, .sa_flags = flags};
  SYS(sigaction(SIGRTMIN, &action, NULL));
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
  timer_t timer;
  SYS(timer_create(CLOCK_MONOTONIC, &event, &timer));
  struct itimerspec every = {.it_interval = {0, 1000000}, .it_value = {0, 1000000}};
  SYS(timer_settime(timer, 0, &every, NULL));
  return timer;
}

// The guest has shown nothing when no signal came: it goes on until enough did.
__attribute__((unused)) static bool storm_enough(int rounds, int at_least) {
  return rounds >= at_least && storm_ticks >= 100;
}

__attribute__((unused)) static void storm_end(timer_t timer) {
  SYS(timer_delete(timer));
  CHECK(storm_ticks >= 100);
}
