// A condition variable with a priority-inheritance mutex: signals and broadcasts wake, timed waits end.
#include "guest.h"

enum { kThreads = 4, kRounds = 100 };
static pthread_mutex_t mutex;
static pthread_cond_t turn = PTHREAD_COND_INITIALIZER;
static int next;

static void* run(void* argument) {
  int self = (int)(intptr_t)argument;
  for (int i = 0; i < kRounds; ++i) {
    PTHREAD(pthread_mutex_lock(&mutex));
    while (next != self) {
      PTHREAD(pthread_cond_wait(&turn, &mutex));
    }
    next = (next + 1) % kThreads;
    PTHREAD(pthread_cond_broadcast(&turn));
    PTHREAD(pthread_mutex_unlock(&mutex));
  }
  return NULL;
}

int main(void) {
  guest_begin();
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  PTHREAD(pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT));
  PTHREAD(pthread_mutex_init(&mutex, &attributes));
  pthread_t threads[kThreads];
  for (intptr_t i = 0; i < kThreads; ++i) {
    threads[i] = guest_thread(run, (void*)i);
  }
  for (int i = 0; i < kThreads; ++i) {
    guest_join(threads[i]);
  }
  CHECK_EQ(next, 0);
  struct timespec past = {1, 0};
  PTHREAD(pthread_mutex_lock(&mutex));
  CHECK_EQ(pthread_cond_timedwait(&turn, &mutex, &past), ETIMEDOUT);
  PTHREAD(pthread_mutex_unlock(&mutex));
  return guest_pass();
}
