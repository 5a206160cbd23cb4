// Priority-inheritance mutexes between processes: contended, and robust ones whose owner exits or is killed.
#include <sys/mman.h>

#include "guest.h"

struct shared {
  pthread_mutex_t plain, robust;
  long counters[2];  // Each guarded by one of them.
};

int main(void) {
  guest_begin();
  struct shared* shared = SYS(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  PTHREAD(pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT));
  PTHREAD(pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED));
  PTHREAD(pthread_mutex_init(&shared->plain, &attributes));
  PTHREAD(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST));
  PTHREAD(pthread_mutex_init(&shared->robust, &attributes));

  enum { kProcesses = 3, kRounds = 200 };
  pid_t children[kProcesses];
  for (int i = 0; i < kProcesses; ++i) {
    children[i] = guest_fork();
    if (children[i] == 0) {
      for (int round = 0; round < kRounds; ++round) {
        pthread_mutex_t* mutex = round % 2 ? &shared->plain : &shared->robust;
        PTHREAD(pthread_mutex_lock(mutex));
        shared->counters[round % 2] += 1;
        PTHREAD(pthread_mutex_unlock(mutex));
      }
      _exit(0);
    }
  }
  for (int i = 0; i < kProcesses; ++i) {
    REAP(children[i]);
  }
  CHECK_EQ(shared->counters[0], kProcesses * kRounds / 2);
  CHECK_EQ(shared->counters[1], kProcesses * kRounds / 2);

  struct gate locked = gate_make(), leave = gate_make();
  for (int round = 0; round < 20; ++round) {
    pid_t owner = guest_fork();
    if (owner == 0) {
      PTHREAD(pthread_mutex_lock(&shared->robust));
      gate_open(&locked);
      gate_wait(&leave);
      if (round % 2 == 0) {
        _exit(0);
      }
      for (;;) {
        pause();
      }
    }
    gate_wait(&locked);
    pid_t waiter = guest_fork();
    if (waiter == 0) {
      CHECK_EQ(pthread_mutex_lock(&shared->robust), EOWNERDEAD);
      PTHREAD(pthread_mutex_consistent(&shared->robust));
      PTHREAD(pthread_mutex_unlock(&shared->robust));
      _exit(0);
    }
    if (round % 4 < 2) {
      wait_state(waiter, waiter, "S");
    }
    if (round % 2) {
      SYS(kill(owner, SIGKILL));
    } else {
      gate_open(&leave);
    }
    guest_status(owner);
    REAP(waiter);
    PTHREAD(pthread_mutex_lock(&shared->robust));
    PTHREAD(pthread_mutex_unlock(&shared->robust));
  }
  return guest_pass();
}
