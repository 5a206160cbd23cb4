// What a handler may do in the midst of interposed calls: fork, wait, kill, exec in a child, jump out, use another
// stack.
#include <setjmp.h>

#include "guest.h"

static sigjmp_buf out;
static volatile int done;

static void forks(int signal, siginfo_t* info, void* context) {
  (void)signal;
  (void)info;
  (void)context;
  pid_t child = fork();
  if (child == 0) {
    if (done % 2) {
      execl("/bin/true", "true", (char*)NULL);
    }
    _exit(0);
  }
  int status = -1;
  if (waitpid(child, &status, 0) != child || status != 0) {
    FAIL("child of a handler: status %d", status);
  }
  done = done + 1;
}

static void jumps(int signal, siginfo_t* info, void* context) {
  (void)signal;
  (void)info;
  (void)context;
  siglongjmp(out, 1);
}

static void nests(int signal, siginfo_t* info, void* context) {
  (void)info;
  (void)context;
  done = done + 1;
  if (signal < SIGRTMIN + 12) {
    kill(getpid(), signal + 1);
  }
}

int main(void) {
  guest_begin();
  guest_handle(SIGUSR1, forks, SA_RESTART);
  pid_t self = getpid();
  for (int i = 0; i < 20; ++i) {
    SYS(kill(self, SIGUSR1));
    CHECK_EQ(done, i + 1);
  }

  // While the main flow waits for a child itself.
  pid_t child = guest_fork();
  if (child == 0) {
    SYS(kill(self, SIGUSR1));
    _exit(3);
  }
  REAP_CODE(child, 3);
  CHECK_EQ(done, 21);

  // Nested handlers, ten deep, each by a kill within the handler.
  for (int signal = SIGRTMIN + 2; signal <= SIGRTMIN + 12; ++signal) {
    guest_handle(signal, nests, 0);
  }
  done = 0;
  SYS(kill(self, SIGRTMIN + 2));
  CHECK_EQ(done, 11);

  // Out of a call that blocks, by a jump, on a stack of its own, a hundred times.
  static char stack[65536];
  stack_t alternative = {.ss_sp = stack, .ss_size = sizeof stack};
  SYS(sigaltstack(&alternative, NULL));
  guest_handle(SIGUSR2, jumps, SA_ONSTACK);
  struct gate go = gate_make();
  child = guest_fork();
  if (child == 0) {
    while (gate_receive(&go) == 1) {
      wait_state(self, self, "S");
      SYS(kill(self, SIGUSR2));
    }
    _exit(0);
  }
  for (volatile int i = 0; i < 100; i = i + 1) {
    if (sigsetjmp(out, 1) == 0) {
      gate_open(&go);
      waitpid(child, NULL, 0);
      FAIL("waitpid returned");
    }
    CHECK_EQ(raw_getpid(), self);
  }
  gate_send(&go, 0);
  REAP(child);
  return guest_pass();
}
