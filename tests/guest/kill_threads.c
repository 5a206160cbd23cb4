// SIGKILL of a process in the midst of a thread creation storm.
#include "guest.h"

static void* brief(void* unused) {
  raw_gettid();
  return unused;
}

static void* maker(void* unused) {
  for (;;) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, brief, NULL) == 0) {
      pthread_join(thread, NULL);
    }
  }
  return unused;
}

int main(void) {
  guest_begin();
  struct gate up = gate_make();
  unsigned seed = 3;
  for (int round = 0; round < 40; ++round) {
    pid_t child = guest_fork();
    if (child == 0) {
      guest_thread(maker, NULL);
      guest_thread(maker, NULL);
      gate_open(&up);
      maker(NULL);
    }
    gate_wait(&up);
    int turns = (int)(rand_r(&seed) % 2000);
    for (int i = 0; i < turns; ++i) {
      raw_getpid();
    }
    SYS(kill(child, SIGKILL));
    REAP_SIGNAL(child, SIGKILL);
    CHECK_ERRNO(kill(child, 0), ESRCH);
  }
  return guest_pass();
}
