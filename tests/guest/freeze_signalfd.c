// A signalfd across a freeze: what is queued, the mask, the sender as the sandbox knows it.
#include <signal.h>
#include <sys/signalfd.h>

#include "guest.h"

int main(void) {
  guest_begin();
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigaddset(&set, SIGRTMIN + 1);
  PTHREAD(pthread_sigmask(SIG_BLOCK, &set, NULL));
  int fd = SYS(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  SYS(kill(getpid(), SIGUSR1));
  union sigval value = {.sival_int = 77};
  SYS(sigqueue(getpid(), SIGRTMIN + 1, value));
  guest_fence();
  struct signalfd_siginfo info;
  CHECK_EQ(read(fd, &info, sizeof info), sizeof info);
  CHECK_EQ(info.ssi_signo, SIGUSR1);
  CHECK_EQ(info.ssi_pid, getpid());
  guest_fence();
  CHECK_EQ(read(fd, &info, sizeof info), sizeof info);
  CHECK_EQ(info.ssi_signo, SIGRTMIN + 1);
  CHECK_EQ(info.ssi_int, 77);
  CHECK_ERRNO(read(fd, &info, sizeof info), EAGAIN);
  pid_t child = guest_fork();
  if (child == 0) {
    SYS(kill(getppid(), SIGUSR1));
    _exit(0);
  }
  REAP(child);
  CHECK_EQ(read(fd, &info, sizeof info), sizeof info);
  CHECK_EQ(info.ssi_pid, child);
  return guest_pass();
}
