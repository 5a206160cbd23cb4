// timerfds across a freeze: not armed, running, expired and unread, with an interval, by each clock.
#include <sys/timerfd.h>

#include "guest.h"

static uint64_t ticks(int fd) {
  uint64_t value = 0;
  CHECK_EQ(read(fd, &value, sizeof value), sizeof value);
  return value;
}

static int armed(int clock, int flags, long ms, long interval_ms) {
  int fd = SYS(timerfd_create(clock, 0));
  struct itimerspec time = {{interval_ms / 1000, interval_ms % 1000 * 1000000}, {ms / 1000, ms % 1000 * 1000000}};
  if (flags & TFD_TIMER_ABSTIME) {
    struct timespec now;
    SYS(clock_gettime(clock, &now));
    time.it_value.tv_sec += now.tv_sec;
  }
  SYS(timerfd_settime(fd, flags, &time, NULL));
  return fd;
}

int main(void) {
  guest_begin();
  int idle = SYS(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  int hours = armed(CLOCK_BOOTTIME, 0, 3600000, 5000);
  int date = armed(CLOCK_REALTIME, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, 7200000, 0);
  int fired = armed(CLOCK_REALTIME, 0, 1, 0);
  int beats = armed(CLOCK_MONOTONIC, 0, 1, 1);
  int copy = SYS(dup(fired));
  uint64_t before = ticks(beats);
  CHECK(before >= 1);
  struct timespec pause = {0, 20000000};
  nanosleep(&pause, NULL);

  guest_fence();
  uint64_t none;
  CHECK_ERRNO(read(idle, &none, sizeof none), EAGAIN);
  struct itimerspec left;
  SYS(timerfd_gettime(idle, &left));
  CHECK_EQ(left.it_value.tv_sec + left.it_value.tv_nsec, 0);
  SYS(timerfd_gettime(hours, &left));
  CHECK(left.it_value.tv_sec > 3400 && left.it_value.tv_sec < 3600);
  CHECK_EQ(left.it_interval.tv_sec, 5);
  SYS(timerfd_gettime(date, &left));
  CHECK(left.it_value.tv_sec > 7000 && left.it_value.tv_sec <= 7200);
  CHECK(ticks(beats) >= 10);
  CHECK_EQ(ticks(copy), 1);
  SYS(fcntl(fired, F_SETFL, O_NONBLOCK));
  CHECK_ERRNO(read(copy, &none, sizeof none), EAGAIN);
  guest_fence();
  CHECK_ERRNO(read(copy, &none, sizeof none), EAGAIN);
  CHECK(ticks(beats) >= 1);
  return guest_pass();
}
