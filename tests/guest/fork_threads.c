// Several threads fork at once; each child sees one thread, its own, with a tid equal to its pid.
#include "guest.h"

enum { kThreads = 4, kForks = 50 };

static void* run(void* unused) {
  (void)unused;
  for (int i = 0; i < kForks; ++i) {
    pid_t child = guest_fork();
    if (child == 0) {
      CHECK_EQ(raw_gettid(), raw_getpid());
      CHECK_EQ(getppid(), guest_top);
      CHECK_EQ(status_field("/proc/self/status", "Threads"), 1);
      _exit(i);
    }
    REAP_CODE(child, i);
  }
  return NULL;
}

int main(void) {
  guest_begin();
  pthread_t threads[kThreads];
  for (int i = 0; i < kThreads; ++i) {
    threads[i] = guest_thread(run, NULL);
  }
  for (int i = 0; i < kThreads; ++i) {
    guest_join(threads[i]);
  }
  return guest_pass();
}
