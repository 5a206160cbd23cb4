// A thousand threads at once: all tids differ, the task listing holds exactly them, all of them end.
#include <dirent.h>

#include "guest.h"

enum { kThreads = 1000 };
static pid_t tids[kThreads + 1];
static pthread_barrier_t barrier;

static void* run(void* argument) {
  tids[(intptr_t)argument] = raw_gettid();
  pthread_barrier_wait(&barrier);
  pthread_barrier_wait(&barrier);
  CHECK_EQ(tids[(intptr_t)argument], raw_gettid());
  return NULL;
}

static int compare(const void* left, const void* right) {
  return *(const pid_t*)left - *(const pid_t*)right;
}

int main(void) {
  guest_begin();
  pthread_barrier_init(&barrier, NULL, kThreads + 1);
  static pthread_t threads[kThreads];
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  PTHREAD(pthread_attr_setstacksize(&attributes, 65536));
  for (intptr_t i = 0; i < kThreads; ++i) {
    PTHREAD(pthread_create(&threads[i], &attributes, run, (void*)i));
  }
  tids[kThreads] = getpid();
  pthread_barrier_wait(&barrier);
  static pid_t sorted[kThreads + 1];
  memcpy(sorted, tids, sizeof sorted);
  qsort(sorted, kThreads + 1, sizeof sorted[0], compare);
  for (int i = 1; i <= kThreads; ++i) {
    CHECK(sorted[i - 1] < sorted[i]);
  }
  DIR* directory = opendir("/proc/self/task");
  CHECK(directory);
  int count = 0;
  for (struct dirent* entry; (entry = readdir(directory));) {
    pid_t tid = atoi(entry->d_name);
    if (tid > 0) {
      CHECK(bsearch(&tid, sorted, kThreads + 1, sizeof tid, compare));
      ++count;
    }
  }
  closedir(directory);
  CHECK_EQ(count, kThreads + 1);
  pthread_barrier_wait(&barrier);
  for (int i = 0; i < kThreads; ++i) {
    guest_join(threads[i]);
  }
  return guest_pass();
}
