// CLOCK_MONOTONIC never runs backwards, within a thread or from one to another, over calls, forks and execs.
#include "guest.h"

enum { kThreads = 4, kReads = 200000 };
static uint64_t latest;

static void* run(void* unused) {
  for (int i = 0; i < kReads; ++i) {
    uint64_t before = __atomic_load_n(&latest, __ATOMIC_SEQ_CST);
    uint64_t now = now_ns();
    if (now < before) {
      FAIL("CLOCK_MONOTONIC ran from %llu back to %llu", (unsigned long long)before, (unsigned long long)now);
    }
    while (before < now &&
           !__atomic_compare_exchange_n(&latest, &before, now, true, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
    }
    if (i % 1000 == 0) {
      getppid();
    }
  }
  return unused;
}

int main(int argc, char** argv) {
  guest_begin();
  if (argc == 2) {
    CHECK(now_ns() >= strtoull(argv[1], NULL, 10));
    return 0;
  }
  pthread_t threads[kThreads];
  for (int i = 0; i < kThreads; ++i) {
    threads[i] = guest_thread(run, NULL);
  }
  for (int i = 0; i < kThreads; ++i) {
    guest_join(threads[i]);
  }
  for (int i = 0; i < 20; ++i) {
    char text[32];
    uint64_t before = now_ns();
    snprintf(text, sizeof text, "%llu", (unsigned long long)before);
    pid_t child = guest_fork();
    if (child == 0) {
      CHECK(now_ns() >= before);
      execl("/proc/self/exe", argv[0], text, (char*)NULL);
      _exit(127);
    }
    REAP(child);
  }
  return guest_pass();
}
