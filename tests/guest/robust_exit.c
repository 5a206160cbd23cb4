// A robust mutex whose owner thread ends without unlocking: EOWNERDEAD to the next, waiting or trying, until
// consistent.
#include "guest.h"

static pthread_mutex_t mutex, second;
static struct gate locked, leave;

static void* owner(void* unused) {
  PTHREAD(pthread_mutex_lock(&mutex));
  PTHREAD(pthread_mutex_lock(&second));
  gate_open(&locked);
  gate_wait(&leave);
  return unused;
}

static void* waiter(void* unused) {
  int got = pthread_mutex_lock(&mutex);
  CHECK_EQ(got, EOWNERDEAD);
  PTHREAD(pthread_mutex_consistent(&mutex));
  PTHREAD(pthread_mutex_unlock(&mutex));
  return unused;
}

int main(void) {
  guest_begin();
  locked = gate_make();
  leave = gate_make();
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  PTHREAD(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST));
  for (int round = 0; round < 30; ++round) {
    PTHREAD(pthread_mutex_init(&mutex, &attributes));
    PTHREAD(pthread_mutex_init(&second, &attributes));
    pthread_t thread = guest_thread(owner, NULL);
    gate_wait(&locked);
    CHECK_EQ(pthread_mutex_trylock(&mutex), EBUSY);
    pthread_t waiting = guest_thread(waiter, NULL);
    gate_open(&leave);
    guest_join(thread);
    guest_join(waiting);
    // Both mutexes of the dead one; the first is whole again.
    PTHREAD(pthread_mutex_lock(&mutex));
    PTHREAD(pthread_mutex_unlock(&mutex));
    CHECK_EQ(pthread_mutex_trylock(&second), EOWNERDEAD);
    // Unlocked without being made consistent: lost for good.
    PTHREAD(pthread_mutex_unlock(&second));
    CHECK_EQ(pthread_mutex_lock(&second), ENOTRECOVERABLE);
    pthread_mutex_destroy(&mutex);
    pthread_mutex_destroy(&second);
  }
  return guest_pass();
}
