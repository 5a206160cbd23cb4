// sigqueue, rt_sigqueueinfo, rt_tgsigqueueinfo and pidfd_send_signal: value, code and pid arrive; real-time signals
// queue in order.
#include "guest.h"

static siginfo_t next(int signal) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  siginfo_t info;
  memset(&info, 0, sizeof info);
  CHECK_EQ(SYS(sigwaitinfo(&set, &info)), signal);
  CHECK_EQ(info.si_signo, signal);
  return info;
}

int main(void) {
  guest_begin();
  int signal = SIGRTMIN + 3;
  guest_block(signal);
  pid_t self = getpid();
  // glibc's sigqueue puts the sender's pid in itself.
  for (int i = 0; i < 50; ++i) {
    union sigval value = {.sival_int = i};
    SYS(sigqueue(self, signal, value));
  }
  for (int i = 0; i < 50; ++i) {
    siginfo_t info = next(signal);
    CHECK_EQ(info.si_value.sival_int, i);
    CHECK_EQ(info.si_code, SI_QUEUE);
    CHECK_EQ(info.si_pid, self);
    CHECK_EQ(info.si_uid, getuid());
  }

  // From a child, with its own pid.
  pid_t child = guest_fork();
  if (child == 0) {
    union sigval value = {.sival_ptr = (void*)0x123456789abcull};
    SYS(sigqueue(self, signal, value));
    _exit(0);
  }
  siginfo_t info = next(signal);
  CHECK_EQ(info.si_pid, child);
  CHECK_EQ((long)info.si_value.sival_ptr, 0x123456789abcl);
  REAP(child);

  // The raw calls take the siginfo as it is; a process may say about itself what it likes, kernel codes included.
  siginfo_t sent;
  memset(&sent, 0, sizeof sent);
  sent.si_code = SI_MESGQ;
  sent.si_pid = self;
  sent.si_uid = 4242;
  sent.si_value.sival_int = 7;
  SYS(syscall(SYS_rt_sigqueueinfo, self, signal, &sent));
  info = next(signal);
  CHECK_EQ(info.si_code, SI_MESGQ);
  CHECK_EQ(info.si_pid, self);
  CHECK_EQ(info.si_uid, 4242);
  CHECK_EQ(info.si_value.sival_int, 7);
  sent.si_code = SI_USER;
  SYS(syscall(SYS_rt_sigqueueinfo, self, signal, &sent));
  info = next(signal);
  CHECK_EQ(info.si_code, SI_USER);
  CHECK_EQ(info.si_pid, self);

  sent.si_code = SI_QUEUE;
  SYS(syscall(SYS_rt_tgsigqueueinfo, self, raw_gettid(), signal, &sent));
  info = next(signal);
  CHECK_EQ(info.si_code, SI_QUEUE);
  CHECK_EQ(info.si_pid, self);
  CHECK_EQ(info.si_value.sival_int, 7);

  int pidfd = (int)SYS(syscall(SYS_pidfd_open, self, 0));
  sent.si_signo = signal;
  SYS(syscall(SYS_pidfd_send_signal, pidfd, signal, &sent, 0));
  info = next(signal);
  CHECK_EQ(info.si_code, SI_QUEUE);
  CHECK_EQ(info.si_pid, self);
  CHECK_EQ(info.si_value.sival_int, 7);
  SYS(syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0));
  info = next(signal);
  CHECK_EQ(info.si_code, SI_USER);
  CHECK_EQ(info.si_pid, self);
  sent.si_signo = signal + 1;
  CHECK_ERRNO(syscall(SYS_pidfd_send_signal, pidfd, signal, &sent, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 8), EINVAL);

  // Codes of the kernel's own are refused for others.
  struct gate down = gate_make();
  child = guest_fork();
  if (child == 0) {
    gate_wait(&down);
    _exit(0);
  }
  sent.si_signo = signal;
  sent.si_code = SI_USER;
  CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, child, signal, &sent), EPERM);
  sent.si_code = SI_TKILL;
  CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, child, signal, &sent), EPERM);
  CHECK_ERRNO(syscall(SYS_rt_tgsigqueueinfo, child, child, signal, &sent), EPERM);
  sent.si_code = SI_QUEUE;
  SYS(syscall(SYS_rt_sigqueueinfo, child, 0, &sent));
  gate_open(&down);
  REAP(child);
  return guest_pass();
}
