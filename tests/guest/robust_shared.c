// A robust mutex shared by processes: its owner exits, is killed, or execs; somebody blocked in it gets EOWNERDEAD.
#include <sys/mman.h>

#include "guest.h"

int main(void) {
  guest_begin();
  pthread_mutex_t* mutex = SYS(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  PTHREAD(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST));
  PTHREAD(pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED));
  PTHREAD(pthread_mutex_init(mutex, &attributes));
  struct gate locked = gate_make(), leave = gate_make();
  for (int round = 0; round < 40; ++round) {
    int way = round % 4;
    pid_t owner = guest_fork();
    if (owner == 0) {
      PTHREAD(pthread_mutex_lock(mutex));
      gate_open(&locked);
      gate_wait(&leave);
      if (way == 0) {
        _exit(0);
      } else if (way == 1) {
        raise(SIGTERM);
      } else if (way == 2) {
        execl("/bin/true", "true", (char*)NULL);
      }
      for (;;) {
        pause();
      }
    }
    gate_wait(&locked);
    CHECK_EQ(pthread_mutex_trylock(mutex), EBUSY);
    pid_t waiter = guest_fork();
    if (waiter == 0) {
      CHECK_EQ(pthread_mutex_lock(mutex), EOWNERDEAD);
      PTHREAD(pthread_mutex_consistent(mutex));
      PTHREAD(pthread_mutex_unlock(mutex));
      _exit(0);
    }
    if (round % 8 < 4) {
      wait_state(waiter, waiter, "S");
    }
    if (way == 3) {
      SYS(kill(owner, SIGKILL));
    } else {
      gate_open(&leave);
    }
    REAP(waiter);
    guest_status(owner);
    PTHREAD(pthread_mutex_lock(mutex));
    PTHREAD(pthread_mutex_unlock(mutex));
  }
  return guest_pass();
}
