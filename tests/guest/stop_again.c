// A stop that comes right after a continuation holds, whatever calls the threads are in (signal(7)).
#include "guest.h"

enum { kThreads = 4 };

static void* call(void* unused) {
  for (;;) {
    getppid();
  }
  return unused;
}

int main(void) {
  guest_begin();
  struct gate up = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    for (int i = 1; i < kThreads; ++i) {
      guest_thread(call, NULL);
    }
    gate_open(&up);
    call(NULL);
  }
  gate_wait(&up);
  for (int round = 0; round < 400; ++round) {
    int status;
    SYS(kill(child, SIGSTOP));
    CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
    CHECK(WIFSTOPPED(status));
    CHECK_EQ(WSTOPSIG(status), SIGSTOP);
    SYS(kill(child, SIGCONT));
  }
  SYS(kill(child, SIGKILL));
  REAP_SIGNAL(child, SIGKILL);
  return guest_pass();
}
