/* Beam's vDSO (vdso(7)): the same bytes on every workstation. It calls the kernel's through the table in the agent's
 * data page and adds the sandbox's clock offsets, so that CLOCK_MONOTONIC and CLOCK_BOOTTIME never jump over a freeze.
 * Freestanding; no data of its own. */
#include <asm/unistd.h>
#include <linux/time.h>

#include "interpose/agent/layout.h"

#define AGENT ((const volatile struct BeamAgentData*)BEAM_AGENT_DATA)
#define NANOSECONDS 1000000000L

struct Timespec {
  long seconds;
  long nanoseconds;
};

static inline long system_call(long number, long a, long b, long c) {
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "0"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
  return result;
}

static long offset_of(int clock) {
  switch (clock) {
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
      return AGENT->monotonic_offset;
    case CLOCK_BOOTTIME:
      return AGENT->boottime_offset;
    default:
      return 0;
  }
}

int __vdso_clock_gettime(int clock, struct Timespec* time) {
  int (*const kernel)(int, struct Timespec*) = (int (*)(int, struct Timespec*))AGENT->kernel_clock_gettime;
  const int result = kernel != 0 ? kernel(clock, time) : (int)system_call(__NR_clock_gettime, clock, (long)time, 0);
  const long offset = offset_of(clock);
  if (result == 0 && offset != 0) {
    long nanoseconds = time->nanoseconds + offset % NANOSECONDS;
    long seconds = time->seconds + offset / NANOSECONDS;
    if (nanoseconds >= NANOSECONDS) {
      nanoseconds -= NANOSECONDS;
      ++seconds;
    } else if (nanoseconds < 0) {
      nanoseconds += NANOSECONDS;
      --seconds;
    }
    time->seconds = seconds;
    time->nanoseconds = nanoseconds;
  }
  return result;
}

int __vdso_gettimeofday(void* time, void* zone) {
  int (*const kernel)(void*, void*) = (int (*)(void*, void*))AGENT->kernel_gettimeofday;
  return kernel != 0 ? kernel(time, zone) : (int)system_call(__NR_gettimeofday, (long)time, (long)zone, 0);
}

long __vdso_time(long* time) {
  long (*const kernel)(long*) = (long (*)(long*))AGENT->kernel_time;
  return kernel != 0 ? kernel(time) : system_call(__NR_time, (long)time, 0, 0);
}

long __vdso_getcpu(unsigned* cpu, unsigned* node, void* unused) {
  long (*const kernel)(unsigned*, unsigned*, void*) = (long (*)(unsigned*, unsigned*, void*))AGENT->kernel_getcpu;
  return kernel != 0 ? kernel(cpu, node, unused) : system_call(__NR_getcpu, (long)cpu, (long)node, (long)unused);
}

int __vdso_clock_getres(int clock, struct Timespec* resolution) {
  int (*const kernel)(int, struct Timespec*) = (int (*)(int, struct Timespec*))AGENT->kernel_clock_getres;
  return kernel != 0 ? kernel(clock, resolution) : (int)system_call(__NR_clock_getres, clock, (long)resolution, 0);
}

int clock_gettime(int, struct Timespec*) __attribute__((weak, alias("__vdso_clock_gettime")));
int gettimeofday(void*, void*) __attribute__((weak, alias("__vdso_gettimeofday")));
long time(long*) __attribute__((weak, alias("__vdso_time")));
long getcpu(unsigned*, unsigned*, void*) __attribute__((weak, alias("__vdso_getcpu")));
int clock_getres(int, struct Timespec*) __attribute__((weak, alias("__vdso_clock_getres")));
