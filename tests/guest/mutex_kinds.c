// Mutexes that compare the caller with an owner kept in memory: error checking, recursive, read-write locks, spin
// locks.
#include "guest.h"

static pthread_mutex_t checking, recursive;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;

static void* stranger(void* unused) {
  CHECK_EQ(pthread_mutex_unlock(&checking), EPERM);
  CHECK_EQ(pthread_mutex_trylock(&checking), EBUSY);
  CHECK_EQ(pthread_mutex_unlock(&recursive), EPERM);
  CHECK_EQ(pthread_mutex_trylock(&recursive), EBUSY);
  CHECK_EQ(pthread_rwlock_tryrdlock(&rwlock), EBUSY);
  return unused;
}

int main(void) {
  guest_begin();
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
  pthread_mutex_init(&checking, &attributes);
  pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
  pthread_mutex_init(&recursive, &attributes);
  CHECK_EQ(pthread_mutex_unlock(&checking), EPERM);
  PTHREAD(pthread_mutex_lock(&checking));
  CHECK_EQ(pthread_mutex_lock(&checking), EDEADLK);
  PTHREAD(pthread_mutex_lock(&recursive));
  PTHREAD(pthread_mutex_lock(&recursive));
  PTHREAD(pthread_rwlock_wrlock(&rwlock));
#ifdef __GLIBC__
  // Other libraries wait for themselves.
  CHECK_EQ(pthread_rwlock_wrlock(&rwlock), EDEADLK);
#endif
  guest_join(guest_thread(stranger, NULL));
  // A child of fork has another tid than the owner that its memory names.
  pid_t child = guest_fork();
  if (child == 0) {
    CHECK_EQ(pthread_mutex_unlock(&recursive), EPERM);
    CHECK_EQ(pthread_mutex_unlock(&checking), EPERM);
    CHECK_EQ(pthread_mutex_trylock(&checking), EBUSY);
    _exit(0);
  }
  REAP(child);
  PTHREAD(pthread_mutex_unlock(&checking));
  PTHREAD(pthread_mutex_unlock(&recursive));
  PTHREAD(pthread_mutex_unlock(&recursive));
  PTHREAD(pthread_rwlock_unlock(&rwlock));
  return guest_pass();
}
