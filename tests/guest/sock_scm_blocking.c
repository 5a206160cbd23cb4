// A receive with credentials that blocks until the sender comes, in several threads at once, and one interrupted by a
// signal.
#include "creds.h"

enum { kThreads = 4 };
static int pair[2];

static void* run(void* unused) {
  struct ucred got = {0};
  CHECK(creds_receive(pair[0], &got));
  return (void*)(intptr_t)got.pid;
  (void)unused;
}

static volatile sig_atomic_t hits;

static void handler(int signal, siginfo_t* info, void* context) {
  (void)signal;
  (void)info;
  (void)context;
  hits = hits + 1;
}

int main(void) {
  guest_begin();
  int on = 1;
  SYS(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
  SYS(setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
  pthread_t threads[kThreads];
  for (int i = 0; i < kThreads; ++i) {
    threads[i] = guest_thread(run, NULL);
  }
  long expected = 0, sum = 0;
  for (int i = 0; i < kThreads; ++i) {
    pid_t child = guest_fork();
    if (child == 0) {
      CHECK_EQ(creds_send(pair[1], NULL), 1);
      _exit(0);
    }
    REAP(child);
    expected += child;
  }
  for (int i = 0; i < kThreads; ++i) {
    void* result;
    PTHREAD(pthread_join(threads[i], &result));
    sum += (intptr_t)result;
  }
  CHECK_EQ(sum, expected);

  // SA_RESTART: the receive goes on after the handler and then gets its message.
  guest_handle(SIGUSR1, handler, SA_RESTART);
  pid_t self = getpid();
  pid_t child = guest_fork();
  if (child == 0) {
    for (int i = 0; i < 20; ++i) {
      wait_state(self, self, "S");
      SYS(kill(self, SIGUSR1));
    }
    CHECK_EQ(creds_send(pair[1], NULL), 1);
    _exit(0);
  }
  struct ucred got = {0};
  CHECK(creds_receive(pair[0], &got));
  CHECK_EQ(got.pid, child);
  CHECK(hits > 0);
  REAP(child);
  return guest_pass();
}
