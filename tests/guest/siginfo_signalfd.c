// signalfd: ssi_pid and its like for kill, sigqueue and a child's end; several at one read; by poll and by readv.
#include <sys/signalfd.h>
#include <sys/uio.h>

#include "guest.h"

int main(void) {
  guest_begin();
  pid_t self = getpid();
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigaddset(&set, SIGCHLD);
  sigaddset(&set, SIGRTMIN + 1);
  PTHREAD(pthread_sigmask(SIG_BLOCK, &set, NULL));
  int fd = SYS(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  struct signalfd_siginfo info;
  CHECK_ERRNO(read(fd, &info, sizeof info), EAGAIN);

  pid_t child = guest_fork();
  if (child == 0) {
    SYS(kill(self, SIGUSR1));
    _exit(0);
  }
  struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
  bool user = false, ended = false;
  while (!user || !ended) {
    SYS(poll(&poll_fd, 1, -1));
    CHECK_EQ(read(fd, &info, sizeof info), sizeof info);
    CHECK_EQ(info.ssi_pid, child);
    CHECK_EQ(info.ssi_uid, getuid());
    if (info.ssi_signo == SIGUSR1) {
      user = true;
      CHECK_EQ(info.ssi_code, SI_USER);
    } else {
      ended = true;
      CHECK_EQ(info.ssi_signo, SIGCHLD);
      CHECK_EQ(info.ssi_code, CLD_EXITED);
    }
  }
  REAP(child);

  // Several in one read, from several senders in a row.
  enum { kSenders = 5 };
  pid_t senders[kSenders];
  for (int i = 0; i < kSenders; ++i) {
    senders[i] = guest_fork();
    if (senders[i] == 0) {
      union sigval value = {.sival_int = i};
      SYS(sigqueue(self, SIGRTMIN + 1, value));
      _exit(0);
    }
    REAP(senders[i]);
  }
  sigset_t only;
  sigemptyset(&only);
  sigaddset(&only, SIGRTMIN + 1);
  CHECK_EQ(signalfd(fd, &only, 0), fd);
  struct signalfd_siginfo infos[kSenders + 3];
  CHECK_EQ(read(fd, infos, sizeof infos), kSenders * sizeof infos[0]);
  for (int i = 0; i < kSenders; ++i) {
    CHECK_EQ(infos[i].ssi_signo, SIGRTMIN + 1);
    CHECK_EQ(infos[i].ssi_pid, senders[i]);
    CHECK_EQ(infos[i].ssi_int, i);
    CHECK_EQ(infos[i].ssi_code, SI_QUEUE);
  }
  // readv over two parts, and a duplicate of the descriptor.
  union sigval value = {.sival_int = 99};
  SYS(sigqueue(self, SIGRTMIN + 1, value));
  int copy = SYS(dup(fd));
  struct iovec parts[2] = {{.iov_base = &infos[0], .iov_len = sizeof infos[0]},
                           {.iov_base = &infos[1], .iov_len = sizeof infos[1]}};
  CHECK_EQ(readv(copy, parts, 2), sizeof infos[0]);
  CHECK_EQ(infos[0].ssi_pid, self);
  CHECK_EQ(infos[0].ssi_int, 99);
  return guest_pass();
}
