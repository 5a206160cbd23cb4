// kill, tkill, tgkill and their like: unknown targets, wrong signals, wrong pairs.
#include "guest.h"

static void* run(void* argument) {
  struct gate* gates = argument;
  gate_send(&gates[0], raw_gettid());
  gate_wait(&gates[1]);
  return NULL;
}

int main(void) {
  guest_begin();
  pid_t self = getpid();
  // Beyond every pid_max.
  enum { kNobody = 0x3fffffff };
  CHECK_ERRNO(kill(kNobody, 0), ESRCH);
  CHECK_ERRNO(kill(kNobody, SIGTERM), ESRCH);
  CHECK_ERRNO(kill(-kNobody, 0), ESRCH);
  CHECK_ERRNO(kill(INT_MIN, 0), ESRCH);
  CHECK_ERRNO(kill(self, 65), EINVAL);
  CHECK_ERRNO(kill(self, -1), EINVAL);
  CHECK_ERRNO(kill(0, 65), EINVAL);
  CHECK_ERRNO(kill(kNobody, 65), ESRCH);
  SYS(kill(self, 0));

  CHECK_ERRNO(syscall(SYS_tkill, kNobody, 0), ESRCH);
  CHECK_ERRNO(syscall(SYS_tkill, 0, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_tkill, -1, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_tkill, self, 65), EINVAL);
  CHECK_ERRNO(syscall(SYS_tgkill, self, kNobody, 0), ESRCH);
  CHECK_ERRNO(syscall(SYS_tgkill, kNobody, self, 0), ESRCH);
  CHECK_ERRNO(syscall(SYS_tgkill, 0, self, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_tgkill, self, 0, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_tgkill, -1, -1, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_tgkill, self, self, 65), EINVAL);

  siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_QUEUE};
  CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, kNobody, SIGUSR1, &info), ESRCH);
  CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, self, 65, &info), EINVAL);
  CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, self, SIGUSR1, 8), EFAULT);
  CHECK_ERRNO(syscall(SYS_rt_tgsigqueueinfo, self, kNobody, SIGUSR1, &info), ESRCH);
  CHECK_ERRNO(syscall(SYS_rt_tgsigqueueinfo, 0, self, SIGUSR1, &info), EINVAL);
  CHECK_ERRNO(syscall(SYS_rt_tgsigqueueinfo, self, self, 65, &info), EINVAL);
  CHECK_ERRNO(syscall(SYS_pidfd_send_signal, 1000, 0, NULL, 0), EBADF);
  CHECK_ERRNO(syscall(SYS_pidfd_send_signal, 0, 0, NULL, 0), EBADF);

  // A thread of this process: kill takes its tid for the process, tgkill wants the right pair.
  struct gate gates[2] = {gate_make(), gate_make()};
  pthread_t thread = guest_thread(run, gates);
  pid_t tid = (pid_t)gate_receive(&gates[0]);
  SYS(kill(tid, 0));
  SYS(syscall(SYS_tgkill, self, tid, 0));
  SYS(syscall(SYS_tkill, tid, 0));
  CHECK_ERRNO(syscall(SYS_tgkill, tid, tid, 0), ESRCH);
  CHECK_ERRNO(syscall(SYS_tgkill, tid, self, 0), ESRCH);
  pid_t child = guest_fork();
  if (child == 0) {
    CHECK_ERRNO(syscall(SYS_tgkill, self, getpid(), 0), ESRCH);
    _exit(0);
  }
  CHECK_ERRNO(syscall(SYS_tgkill, child, self, 0), ESRCH);
  siginfo_t ended;
  SYS(waitid(P_PID, (id_t)child, &ended, WEXITED | WNOWAIT));
  // A zombie can be signalled; a reaped one not.
  SYS(kill(child, SIGTERM));
  REAP(child);
  CHECK_ERRNO(kill(child, 0), ESRCH);
  gate_open(&gates[1]);
  guest_join(thread);
  // pthread_join returns when the tid word is cleared, a moment before the tid is gone.
  while (syscall(SYS_tgkill, self, tid, 0) == 0) {
    sched_yield();
  }
  CHECK_EQ(errno, ESRCH);
  return guest_pass();
}
