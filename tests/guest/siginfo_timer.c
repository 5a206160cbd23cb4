// Signals of timers: si_timerid, si_overrun and si_value stay what they are; their fields overlay pid and uid.
#include "guest.h"

int main(void) {
  guest_begin();
  int signal = SIGRTMIN + 2;
  guest_block(signal);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  timer_t timers[4];
  for (int i = 0; i < 4; ++i) {
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = signal, .sigev_value.sival_int = 100 + i};
    SYS(timer_create(CLOCK_MONOTONIC, &event, &timers[i]));
    struct itimerspec once = {.it_value = {0, 1000}};
    SYS(timer_settime(timers[i], 0, &once, NULL));
    siginfo_t info;
    CHECK_EQ(SYS(sigwaitinfo(&set, &info)), signal);
    CHECK_EQ(info.si_code, SI_TIMER);
    CHECK_EQ(info.si_value.sival_int, 100 + i);
    CHECK_EQ(info.si_timerid, i);
    CHECK_EQ(info.si_overrun, 0);
  }
  return guest_pass();
}
