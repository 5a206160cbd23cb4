// /proc/self/timers names the thread or process that a timer notifies by its virtual number.
#include "guest.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

int main(void) {
  guest_begin();
  char text[4096];
  if (read_file("/proc/self/timers", text, sizeof text) < 0) {
    FAIL("/proc/self/timers: errno %d: this guest needs a kernel with CONFIG_CHECKPOINT_RESTORE", errno);
  }
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
  timer_t timer;
  SYS(timer_create(CLOCK_MONOTONIC, &event, &timer));
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_notify_thread_id = raw_gettid();
  SYS(timer_create(CLOCK_MONOTONIC, &event, &timer));
  CHECK(read_file("/proc/self/timers", text, sizeof text) > 0);
  char expected[64];
  snprintf(expected, sizeof expected, "notify: signal/pid.%d\n", getpid());
  CHECK(strstr(text, expected));
  snprintf(expected, sizeof expected, "notify: signal/tid.%d\n", raw_gettid());
  CHECK(strstr(text, expected));
  return guest_pass();
}
