// sigwaitinfo, sigtimedwait and sigwait give the virtual sender: of kill, of sigqueue, of a child's end, of a thread.
#include "guest.h"

static pid_t self;

static void* thread(void* unused) {
  SYS(syscall(SYS_tgkill, self, self, SIGUSR1));
  return unused;
}

int main(void) {
  guest_begin();
  self = getpid();
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigaddset(&set, SIGCHLD);
  PTHREAD(pthread_sigmask(SIG_BLOCK, &set, NULL));
  siginfo_t info;

  struct timespec none = {0, 0};
  CHECK_ERRNO(sigtimedwait(&set, &info, &none), EAGAIN);

  for (int i = 0; i < 30; ++i) {
    pid_t child = guest_fork();
    if (child == 0) {
      if (i % 2) {
        SYS(kill(self, SIGUSR1));
      } else {
        union sigval value = {.sival_int = i};
        SYS(sigqueue(self, SIGUSR1, value));
      }
      _exit(i);
    }
    bool user = false, ended = false;
    while (!user || !ended) {
      struct timespec minute = {60, 0};
      int signal = i % 3 ? SYS(sigwaitinfo(&set, &info)) : SYS(sigtimedwait(&set, &info, &minute));
      CHECK_EQ(info.si_signo, signal);
      CHECK_EQ(info.si_pid, child);
      CHECK_EQ(info.si_uid, getuid());
      if (signal == SIGUSR1) {
        user = true;
        CHECK_EQ(info.si_code, i % 2 ? SI_USER : SI_QUEUE);
        if (i % 2 == 0) {
          CHECK_EQ(info.si_value.sival_int, i);
        }
      } else {
        ended = true;
        CHECK_EQ(info.si_code, CLD_EXITED);
        CHECK_EQ(info.si_status, i);
      }
    }
    REAP_CODE(child, i);
  }
  pthread_t other = guest_thread(thread, NULL);
  // glibc's sigwaitinfo turns SI_TKILL into SI_USER.
  CHECK_EQ(syscall(SYS_rt_sigtimedwait, &set, &info, NULL, 8), SIGUSR1);
  CHECK_EQ(info.si_pid, self);
  CHECK_EQ(info.si_code, SI_TKILL);
  guest_join(other);

  SYS(kill(self, SIGUSR1));
  int signal;
  PTHREAD(sigwait(&set, &signal));
  CHECK_EQ(signal, SIGUSR1);
  // Without a place for the siginfo.
  SYS(kill(self, SIGUSR1));
  CHECK_EQ(sigwaitinfo(&set, NULL), SIGUSR1);
  CHECK_ERRNO(syscall(SYS_rt_sigtimedwait, &set, &info, &none, 4), EINVAL);
  CHECK_ERRNO(syscall(SYS_rt_sigtimedwait, 8, &info, &none, 8), EFAULT);
  return guest_pass();
}
