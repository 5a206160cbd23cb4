// Threads: gettid differs between them, getpid does not; raw calls, /proc/thread-self and the task listing agree.
#include "guest.h"

enum { kThreads = 8 };
static pid_t tids[kThreads];
static pthread_barrier_t barrier;

static void* run(void* argument) {
  int index = (int)(intptr_t)argument;
  tids[index] = raw_gettid();
  CHECK_EQ(raw_getpid(), guest_top);
  CHECK_NE(tids[index], guest_top);
  char link[64] = "", expected[64];
  SYS(readlink("/proc/thread-self", link, sizeof link - 1));
  snprintf(expected, sizeof expected, "%d/task/%d", guest_top, tids[index]);
  CHECK_STR(link, expected);
  CHECK_EQ(status_field("/proc/thread-self/status", "Pid"), tids[index]);
  CHECK_EQ(status_field("/proc/thread-self/status", "Tgid"), guest_top);
  memset(link, 0, sizeof link);
  SYS(readlink("/proc/self", link, sizeof link - 1));
  CHECK_EQ(atoi(link), guest_top);
  pthread_barrier_wait(&barrier);
  pthread_barrier_wait(&barrier);
  return NULL;
}

int main(void) {
  guest_begin();
  pthread_t threads[kThreads];
  pthread_barrier_init(&barrier, NULL, kThreads + 1);
  for (intptr_t i = 0; i < kThreads; ++i) {
    threads[i] = guest_thread(run, (void*)i);
  }
  pthread_barrier_wait(&barrier);
  for (int i = 0; i < kThreads; ++i) {
    for (int j = 0; j < i; ++j) {
      CHECK_NE(tids[i], tids[j]);
    }
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/status", tids[i]);
    CHECK_EQ(status_field(path, "Pid"), tids[i]);
  }
  CHECK_EQ(status_field("/proc/self/status", "Threads"), kThreads + 1);
  pthread_barrier_wait(&barrier);
  for (int i = 0; i < kThreads; ++i) {
    guest_join(threads[i]);
  }
  return guest_pass();
}
