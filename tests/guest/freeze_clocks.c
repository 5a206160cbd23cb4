// CLOCK_MONOTONIC and CLOCK_BOOTTIME go on over freezes, and whatever takes a time of them agrees with what they say: a
// wait until a time ends neither before it nor long after.
#include <linux/futex.h>
#include <sys/timerfd.h>

#include "guest.h"

enum { kWaitMs = 150, kMostMs = 60000 };

#ifndef SYS_futex_wait
#define SYS_futex_wait 455
#endif

static int64_t time_ns(clockid_t clock) {
  struct timespec time;
  CHECK_EQ(clock_gettime(clock, &time), 0);
  return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static int64_t raw_ns(clockid_t clock) {
  struct timespec time;
  CHECK_EQ(syscall(SYS_clock_gettime, clock, &time), 0);
  return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static struct timespec soon(clockid_t clock) {
  int64_t then = time_ns(clock) + kWaitMs * 1000000LL;
  return (struct timespec){then / 1000000000, then % 1000000000};
}

static void check_over(clockid_t clock, struct timespec deadline, const char* what) {
  int64_t late = time_ns(clock) - (deadline.tv_sec * 1000000000LL + deadline.tv_nsec);
  if (late < 0 || late > kMostMs * 1000000LL) {
    FAIL("%s ended %lld ns after its time", what, (long long)late);
  }
}

static void check_reading(clockid_t clock) {
  int64_t before = time_ns(clock);
  int64_t raw = raw_ns(clock);
  int64_t after = time_ns(clock);
  CHECK(before <= raw);
  CHECK(raw <= after);
}

static void check_sleep(clockid_t clock) {
  struct timespec deadline = soon(clock);
  int fault;
  do {
    fault = clock_nanosleep(clock, TIMER_ABSTIME, &deadline, NULL);
  } while (fault == EINTR);
  CHECK_EQ(fault, 0);
  check_over(clock, deadline, "clock_nanosleep");
}

static void check_timerfd(clockid_t clock) {
  int fd = SYS(timerfd_create(clock, TFD_CLOEXEC));
  struct timespec deadline = soon(clock);
  struct itimerspec value = {{0, 0}, deadline};
  SYS(timerfd_settime(fd, TFD_TIMER_ABSTIME, &value, NULL));
  uint64_t ticks = 0;
  CHECK_EQ(read(fd, &ticks, sizeof ticks), sizeof ticks);
  check_over(clock, deadline, "timerfd");
  // One that disarms stays one that disarms.
  value.it_value = (struct timespec){0, 0};
  SYS(timerfd_settime(fd, TFD_TIMER_ABSTIME, &value, NULL));
  SYS(timerfd_gettime(fd, &value));
  CHECK_EQ(value.it_value.tv_sec, 0);
  CHECK_EQ(value.it_value.tv_nsec, 0);
  close(fd);
}

static void check_condition(void) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_condattr_t attributes;
  pthread_cond_t condition;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&condition, &attributes);
  struct timespec deadline = soon(CLOCK_MONOTONIC);
  pthread_mutex_lock(&mutex);
  int result;
  while ((result = pthread_cond_timedwait(&condition, &mutex, &deadline)) == 0) {
  }
  pthread_mutex_unlock(&mutex);
  CHECK_EQ(result, ETIMEDOUT);
  check_over(CLOCK_MONOTONIC, deadline, "pthread_cond_timedwait");
}

static void check_futex_wait(void) {
  uint32_t word = 0;
  struct timespec deadline = soon(CLOCK_MONOTONIC);
  long result;
  do {
    result = syscall(SYS_futex_wait, &word, 0, 0xffffffffUL, 2 /* FUTEX2_SIZE_U32 */ | FUTEX_PRIVATE_FLAG, &deadline,
                     CLOCK_MONOTONIC);
  } while (result != 0 && errno == EINTR);
  if (errno == ENOSYS) {
    return;  // before Linux 6.7
  }
  CHECK_EQ(result, -1);
  CHECK_EQ(errno, ETIMEDOUT);
  check_over(CLOCK_MONOTONIC, deadline, "futex_wait");
}

static void check_timer(clockid_t clock) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGUSR1);
  sigprocmask(SIG_BLOCK, &signals, NULL);
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
  timer_t other, timer;
  SYS(timer_create(CLOCK_REALTIME, &event, &other));
  SYS(timer_create(clock, &event, &timer));
  struct timespec deadline = soon(clock);
  struct itimerspec value = {{0, 0}, deadline};
  SYS(timer_settime(timer, TIMER_ABSTIME, &value, NULL));
  int got;
  do {
    got = sigwaitinfo(&signals, NULL);
  } while (got < 0 && errno == EINTR);
  CHECK_EQ(got, SIGUSR1);
  check_over(clock, deadline, "a timer");
  SYS(timer_delete(timer));
  SYS(timer_delete(other));
}

int main(void) {
  guest_begin();
  int64_t monotonic = 0, boottime = 0, real = 0;
  for (int round = 0; round < 3; ++round) {
    int64_t was_monotonic = monotonic, was_boottime = boottime, was_real = real;
    monotonic = time_ns(CLOCK_MONOTONIC);
    boottime = time_ns(CLOCK_BOOTTIME);
    real = time_ns(CLOCK_REALTIME);
    CHECK(was_monotonic <= monotonic);
    CHECK(was_boottime <= boottime);
    if (round > 0) {
      // They stand still while frozen, and CLOCK_REALTIME does not.
      CHECK(monotonic - was_monotonic <= real - was_real + 50000000);
    }
    const clockid_t clocks[] = {CLOCK_MONOTONIC, CLOCK_BOOTTIME};
    for (int i = 0; i < 2; ++i) {
      check_reading(clocks[i]);
      check_sleep(clocks[i]);
      check_timerfd(clocks[i]);
      check_timer(clocks[i]);
    }
    check_reading(CLOCK_MONOTONIC_COARSE);
    check_condition();
    check_futex_wait();
    guest_fence();
  }
  return guest_pass();
}
