// SIGKILL at any moment of an exec, from a thread that is not the leader as well.
#include "guest.h"

static void* executor(void* unused) {
  execl("/bin/sh", "sh", "-c", "while :; do :; done", (char*)NULL);
  _exit(127);
  return unused;
}

int main(void) {
  guest_begin();
  struct gate up = gate_make();
  unsigned seed = 2;
  for (int round = 0; round < 80; ++round) {
    pid_t child = guest_fork();
    if (child == 0) {
      gate_open(&up);
      if (round % 2) {
        guest_join(guest_thread(executor, NULL));
      }
      executor(NULL);
    }
    gate_wait(&up);
    int turns = (int)(rand_r(&seed) % 4000);
    for (int i = 0; i < turns; ++i) {
      raw_getpid();
    }
    SYS(kill(child, SIGKILL));
    REAP_SIGNAL(child, SIGKILL);
  }
  return guest_pass();
}
