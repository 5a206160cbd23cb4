// clock_gettime, gettimeofday, time and getcpu through the vDSO, through the C library and by raw calls tell one time.
#include "vdso.h"

static int64_t nanoseconds(const struct timespec* time) {
  return time->tv_sec * 1000000000ll + time->tv_nsec;
}

int main(void) {
  guest_begin();
  int (*gettime)(clockid_t, struct timespec*);
  int (*getres)(clockid_t, struct timespec*);
  int (*timeofday)(struct timeval*, void*);
  time_t (*seconds)(time_t*);
  long (*cpu)(unsigned*, unsigned*, void*);
  *(void**)&gettime = vdso_find("__vdso_clock_gettime", "LINUX_2.6");
  *(void**)&getres = vdso_find("__vdso_clock_getres", "LINUX_2.6");
  *(void**)&timeofday = vdso_find("__vdso_gettimeofday", "LINUX_2.6");
  *(void**)&seconds = vdso_find("__vdso_time", "LINUX_2.6");
  *(void**)&cpu = vdso_find("__vdso_getcpu", "LINUX_2.6");
  CHECK(gettime && getres && timeofday && seconds && cpu);

  const clockid_t clocks[] = {
      CLOCK_REALTIME,      CLOCK_MONOTONIC, CLOCK_REALTIME_COARSE,    CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME,
      CLOCK_MONOTONIC_RAW, CLOCK_TAI,       CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID};
  for (unsigned i = 0; i < sizeof clocks / sizeof clocks[0]; ++i) {
    for (int round = 0; round < 50; ++round) {
      struct timespec first, vdso, library, last;
      SYS(syscall(SYS_clock_gettime, clocks[i], &first));
      CHECK_EQ(gettime(clocks[i], &vdso), 0);
      SYS(clock_gettime(clocks[i], &library));
      SYS(syscall(SYS_clock_gettime, clocks[i], &last));
      if (nanoseconds(&first) > nanoseconds(&vdso) || nanoseconds(&vdso) > nanoseconds(&library) ||
          nanoseconds(&library) > nanoseconds(&last)) {
        FAIL("clock %d: raw %lld, vDSO %lld, library %lld, raw %lld: expected ascending", clocks[i],
             (long long)nanoseconds(&first), (long long)nanoseconds(&vdso), (long long)nanoseconds(&library),
             (long long)nanoseconds(&last));
      }
    }
    struct timespec raw, vdso;
    SYS(syscall(SYS_clock_getres, clocks[i], &raw));
    CHECK_EQ(getres(clocks[i], &vdso), 0);
    CHECK_EQ(nanoseconds(&raw), nanoseconds(&vdso));
  }
  struct timespec time;
  CHECK_EQ(gettime(9999, &time), -EINVAL);
  for (int round = 0; round < 50; ++round) {
    struct timeval first, vdso, last;
    SYS(syscall(SYS_gettimeofday, &first, NULL));
    CHECK_EQ(timeofday(&vdso, NULL), 0);
    SYS(syscall(SYS_gettimeofday, &last, NULL));
    CHECK(!timercmp(&vdso, &first, <));
    CHECK(!timercmp(&last, &vdso, <));
    time_t stored = 0, before = syscall(SYS_time, NULL), now = seconds(&stored), after = syscall(SYS_time, NULL);
    CHECK_EQ(now, stored);
    CHECK(now >= before - 1 && now <= after);
  }
  // On a fixed processor both ways name it.
  cpu_set_t set, all;
  SYS(sched_getaffinity(0, sizeof all, &all));
  for (int i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(i, &all)) {
      CPU_ZERO(&set);
      CPU_SET(i, &set);
      SYS(sched_setaffinity(0, sizeof set, &set));
      unsigned vdso = 9999, raw = 9999, node;
      CHECK_EQ(cpu(&vdso, &node, NULL), 0);
      SYS(syscall(SYS_getcpu, &raw, NULL, NULL));
      CHECK_EQ(vdso, i);
      CHECK_EQ(raw, i);
    }
  }
  return guest_pass();
}
