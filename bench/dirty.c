// A sandbox to freeze: PROCESSES processes beside the first, which dirties MEBIBYTES of memory and then watches the clock.
// SIGUSR1 has it print the longest time that it did not run since the last one, in ms, and the time of day at its end, in
// ms: a pause, and the first instruction after it. With a RATE (MB/s) it goes on dirtying, a page after the other.
//   dirty MEBIBYTES PROCESSES [RATE]
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t asked;

static void ask(int signal) {
  (void)signal;
  asked = 1;
}

static double now_ms(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

int main(int argc, char** argv) {
  size_t size = (size_t)atol(argc > 1 ? argv[1] : "64") << 20;
  const double pages_a_ms = atof(argc > 3 ? argv[3] : "0") * 1e6 / 4096 / 1e3;
  const double longest_turn = 10;  // ms: a pause is not made up for
  for (long left = atol(argc > 2 ? argv[2] : "0"); left > 0; --left) {
    if (fork() == 0) {
      pause();
      _exit(0);
    }
  }
  uint64_t* memory = mmap(NULL, size + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    perror("mmap");
    return 1;
  }
  uint64_t state = 88172645463325252u;
  for (size_t i = 0; i < size / sizeof *memory; ++i) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    memory[i] = state;
  }
  signal(SIGUSR1, ask);
  puts("ready");
  fflush(stdout);
  // The time of day goes on over a freeze; the monotonic clock does not.
  double last = now_ms(CLOCK_REALTIME), longest = 0, ended = last, owed = 0;
  size_t next = 0;
  for (;;) {
    double now = now_ms(CLOCK_REALTIME);
    if (now - last < longest_turn) {
      owed += (now - last) * pages_a_ms;
    }
    for (; owed >= 1 && size > 0; owed -= 1) {
      memory[next / sizeof *memory] += 1;
      next = (next + 4096) % size;
    }
    if (now - last > longest) {
      longest = now - last;
      ended = now;
    }
    last = now;
    if (asked) {
      asked = 0;
      printf("%.3f %.3f\n", longest, ended);
      fflush(stdout);
      longest = 0;
      last = now_ms(CLOCK_REALTIME);
    }
  }
}
