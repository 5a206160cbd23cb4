// A sandbox within the sandbox: a filter that kills on every call that this guest does not make itself. Nothing that
// Beam does on behalf of the program may trip it.
#include <sys/signalfd.h>

#include "filter.h"

static volatile sig_atomic_t hits;

static void handler(int signal, siginfo_t* info, void* context) {
  (void)signal;
  (void)context;
  hits = hits + (info->si_pid > 0);
}

int main(void) {
  guest_begin();
  struct gate gate = gate_make();
  for (int round = 0; round < 10; ++round) {
    pid_t child = guest_fork();
    if (child == 0) {
      static const int allowed[] = {SYS_read,          SYS_write, SYS_exit_group, SYS_getpid,          SYS_gettid,
                                    SYS_kill,          SYS_fork,  SYS_wait4,      SYS_rt_sigreturn,    SYS_getppid,
                                    SYS_openat,        SYS_close, SYS_tgkill,     SYS_restart_syscall, SYS_signalfd4,
                                    SYS_rt_sigprocmask};
      enum { kCount = sizeof allowed / sizeof allowed[0] };
      struct sock_filter code[kCount * 2 + 2];
      int used = 0;
      code[used++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
      for (int i = 0; i < kCount; ++i) {
        code[used++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)allowed[i], 0, 1);
        code[used++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
      }
      code[used++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
      struct sock_fprog program = {.len = (unsigned short)used, .filter = code};
      guest_handle(SIGUSR1, handler, SA_RESTART);
      pid_t self = getpid();
      SYS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
      SYS(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
      if (raw_getpid() != self) {
        syscall(SYS_exit_group, 2);
      }
      int fd = (int)syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY, 0);
      if (fd < 0 || syscall(SYS_close, fd) != 0) {
        syscall(SYS_exit_group, 3);
      }
      // Signals by descriptor, for which more than the call itself may have to be done.
      uint64_t mask = 1ull << (SIGUSR2 - 1);
      struct signalfd_siginfo record;
      syscall(SYS_rt_sigprocmask, SIG_BLOCK, &mask, NULL, 8);
      fd = (int)syscall(SYS_signalfd4, -1, &mask, 8, 0);
      syscall(SYS_kill, self, SIGUSR2);
      if (syscall(SYS_read, fd, &record, sizeof record) != sizeof record || record.ssi_pid != (uint32_t)self) {
        syscall(SYS_exit_group, 5);
      }
      syscall(SYS_kill, self, SIGUSR1);
      gate_open(&gate);
      // The parent signals and stops this process here.
      while (hits < 3) {
        syscall(SYS_getppid);
      }
      long grandchild = syscall(SYS_fork);
      if (grandchild == 0) {
        syscall(SYS_exit_group, raw_getpid() > 0 ? 7 : 8);
      }
      int status = 0;
      if (syscall(SYS_wait4, grandchild, &status, 0, NULL) != grandchild || status != 7 << 8) {
        syscall(SYS_exit_group, 4);
      }
      syscall(SYS_exit_group, 23);
    }
    gate_wait(&gate);
    SYS(kill(child, SIGUSR1));
    int status;
    SYS(kill(child, SIGSTOP));
    CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
    CHECK(WIFSTOPPED(status));
    union sigval value = {.sival_int = 1};
    SYS(sigqueue(child, SIGUSR1, value));
    SYS(kill(child, SIGCONT));
    // Two that were sent while it was stopped may have become one.
    int end;
    while (waitpid(child, &end, WNOHANG) == 0) {
      if (kill(child, SIGUSR1) != 0) {
        break;
      }
      sched_yield();
    }
    CHECK_EQ(end, 23 << 8);
  }
  return guest_pass();
}
