// A signal to oneself by any of the calls is delivered before the call returns (POSIX, when it is not blocked).
#include "guest.h"

static volatile sig_atomic_t hits;
static volatile pid_t from;
static volatile int code;

static void handler(int signal, siginfo_t* info, void* context) {
  (void)signal;
  (void)context;
  from = info->si_pid;
  code = info->si_code;
  hits = hits + 1;
}

int main(void) {
  guest_begin();
  guest_handle(SIGUSR1, handler, 0);
  pid_t self = getpid();
  int pidfd = (int)SYS(syscall(SYS_pidfd_open, self, 0));
  union sigval value = {.sival_int = 5};
  int expected = 0;
  for (int i = 0; i < 200; ++i) {
    SYS(kill(self, SIGUSR1));
    CHECK_EQ(hits, ++expected);
    CHECK_EQ(from, self);
    CHECK_EQ(code, SI_USER);
    SYS(syscall(SYS_tkill, self, SIGUSR1));
    CHECK_EQ(hits, ++expected);
    CHECK_EQ(from, self);
    CHECK_EQ(code, SI_TKILL);
    SYS(syscall(SYS_tgkill, self, self, SIGUSR1));
    CHECK_EQ(hits, ++expected);
    CHECK_EQ(code, SI_TKILL);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(hits, ++expected);
    CHECK_EQ(pthread_kill(pthread_self(), SIGUSR1), 0);
    CHECK_EQ(hits, ++expected);
    SYS(sigqueue(self, SIGUSR1, value));
    CHECK_EQ(hits, ++expected);
    CHECK_EQ(from, self);
    CHECK_EQ(code, SI_QUEUE);
    SYS(syscall(SYS_pidfd_send_signal, pidfd, SIGUSR1, NULL, 0));
    CHECK_EQ(hits, ++expected);
    CHECK_EQ(from, self);
    CHECK_EQ(code, SI_USER);
  }
  return guest_pass();
}
