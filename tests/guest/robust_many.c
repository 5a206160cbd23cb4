// Processes killed at random moments while they lock and unlock a shared robust mutex: it is never lost, the counter
// that it guards never torn.
#include <sys/mman.h>

#include "guest.h"

struct shared {
  pthread_mutex_t mutex;
  volatile long first, second;
};

static void step(struct shared* shared) {
  int got = pthread_mutex_lock(&shared->mutex);
  if (got == EOWNERDEAD) {
    shared->second = shared->first;
    PTHREAD(pthread_mutex_consistent(&shared->mutex));
  } else {
    CHECK_EQ(got, 0);
  }
  CHECK_EQ(shared->first, shared->second);
  shared->first = shared->first + 1;
  shared->second = shared->second + 1;
  PTHREAD(pthread_mutex_unlock(&shared->mutex));
}

int main(void) {
  guest_begin();
  struct shared* shared = SYS(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  PTHREAD(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST));
  PTHREAD(pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED));
  PTHREAD(pthread_mutex_init(&shared->mutex, &attributes));
  struct gate up = gate_make();
  unsigned seed = 5;
  for (int round = 0; round < 40; ++round) {
    pid_t children[3];
    for (int i = 0; i < 3; ++i) {
      children[i] = guest_fork();
      if (children[i] == 0) {
        gate_open(&up);
        for (;;) {
          step(shared);
        }
      }
    }
    for (int i = 0; i < 3; ++i) {
      gate_wait(&up);
    }
    int turns = (int)(rand_r(&seed) % 500);
    for (int i = 0; i < turns; ++i) {
      raw_getpid();
    }
    for (int i = 0; i < 3; ++i) {
      SYS(kill(children[i], SIGKILL));
    }
    for (int i = 0; i < 3; ++i) {
      REAP_SIGNAL(children[i], SIGKILL);
    }
    step(shared);
  }
  return guest_pass();
}
