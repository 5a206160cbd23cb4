// Calls that never wait never give EINTR, however many signals hail on them, also with handlers that restart nothing.
#include "guest.h"

enum { kRounds = 3000 };

static volatile int done;

static void handle(int signal, siginfo_t* info, void* context) {
  (void)signal, (void)info, (void)context;
}

static void* call(void* unused) {
  char text[64];
  struct stat status;
  pid_t self = raw_gettid(), process = raw_getpid();
  for (int i = 0; i < kRounds; ++i) {
    CHECK_EQ(raw_gettid(), self);
    CHECK_EQ(raw_getpid(), process);
    CHECK_EQ(getpgid(0), getpgrp());
    SYS(stat("/", &status));
    CHECK_ERRNO(readlink("/", text, sizeof text), EINVAL);
    CHECK_ERRNO(access("no-such-file", F_OK), ENOENT);
    SYS(close(SYS(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC))));
    CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
  }
  done = 1;
  return unused;
}

int main(void) {
  guest_begin();
  guest_handle(SIGUSR1, handle, 0);
  pthread_t thread = guest_thread(call, NULL);
  while (!done) {
    PTHREAD(pthread_kill(thread, SIGUSR1));
  }
  guest_join(thread);
  return guest_pass();
}
