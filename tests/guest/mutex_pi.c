// Priority-inheritance mutexes between threads: alone, contended, trylock, timedlock, recursive; the word holds the
// tid.
#include "guest.h"

enum { kThreads = 4, kRounds = 300 };
static pthread_mutex_t mutex;
static long counter;
static struct gate locked, leave;

static void* hammer(void* unused) {
  for (int i = 0; i < kRounds; ++i) {
    PTHREAD(pthread_mutex_lock(&mutex));
    long seen = counter;
    if (i % 8 == 0) {
      sched_yield();
    }
    counter = seen + 1;
    PTHREAD(pthread_mutex_unlock(&mutex));
  }
  return unused;
}

static void* holder(void* unused) {
  PTHREAD(pthread_mutex_lock(&mutex));
  gate_open(&locked);
  gate_wait(&leave);
  PTHREAD(pthread_mutex_unlock(&mutex));
  return unused;
}

int main(void) {
  guest_begin();
  locked = gate_make();
  leave = gate_make();
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  PTHREAD(pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT));
  PTHREAD(pthread_mutex_init(&mutex, &attributes));
  PTHREAD(pthread_mutex_lock(&mutex));
  PTHREAD(pthread_mutex_unlock(&mutex));

  pthread_t threads[kThreads];
  for (int i = 0; i < kThreads; ++i) {
    threads[i] = guest_thread(hammer, NULL);
  }
  for (int i = 0; i < kThreads; ++i) {
    guest_join(threads[i]);
  }
  CHECK_EQ(counter, kThreads * kRounds);

  pthread_t thread = guest_thread(holder, NULL);
  gate_wait(&locked);
  CHECK_EQ(pthread_mutex_trylock(&mutex), EBUSY);
  struct timespec soon;
  clock_gettime(CLOCK_REALTIME, &soon);
  soon.tv_nsec += 3000000;
  if (soon.tv_nsec >= 1000000000) {
    soon.tv_nsec -= 1000000000;
    soon.tv_sec += 1;
  }
  CHECK_EQ(pthread_mutex_timedlock(&mutex, &soon), ETIMEDOUT);
  gate_open(&leave);
  // Held or free by now, it is ours in the end.
  PTHREAD(pthread_mutex_lock(&mutex));
  guest_join(thread);
  PTHREAD(pthread_mutex_unlock(&mutex));
  PTHREAD(pthread_mutex_trylock(&mutex));
  PTHREAD(pthread_mutex_unlock(&mutex));
  pthread_mutex_destroy(&mutex);

  pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
  PTHREAD(pthread_mutex_init(&mutex, &attributes));
  PTHREAD(pthread_mutex_lock(&mutex));
  PTHREAD(pthread_mutex_lock(&mutex));
  PTHREAD(pthread_mutex_unlock(&mutex));
  PTHREAD(pthread_mutex_unlock(&mutex));
  CHECK_EQ(pthread_mutex_unlock(&mutex), EPERM);
  pthread_mutex_destroy(&mutex);

  pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
  PTHREAD(pthread_mutex_init(&mutex, &attributes));
  PTHREAD(pthread_mutex_lock(&mutex));
  CHECK_EQ(pthread_mutex_lock(&mutex), EDEADLK);
  PTHREAD(pthread_mutex_unlock(&mutex));
  return guest_pass();
}
