// SIGEV_THREAD: the library's helper thread is named by its tid to timer_create and runs the function at each tick.
#include "guest.h"

static struct gate hit;

static void ticked(union sigval value) {
  CHECK_EQ(raw_getpid(), guest_top);
  CHECK_NE(raw_gettid(), guest_top);
  gate_send(&hit, value.sival_int);
}

int main(void) {
  guest_begin();
  hit = gate_make();
  struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = ticked, .sigev_value.sival_int = 55};
  timer_t timer;
  SYS(timer_create(CLOCK_MONOTONIC, &event, &timer));
  struct itimerspec every = {.it_interval = {0, 2000000}, .it_value = {0, 2000000}};
  SYS(timer_settime(timer, 0, &every, NULL));
  for (int i = 0; i < 10; ++i) {
    CHECK_EQ(gate_receive(&hit), 55);
  }
  SYS(timer_delete(timer));
  return guest_pass();
}
