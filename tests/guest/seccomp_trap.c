// SECCOMP_RET_TRAP: the handler finds number, address, architecture and data, emulates the call, and its result is
// seen.
#include <ucontext.h>

#include "filter.h"

static volatile int seen_number, seen_errno, seen_signal_code;
static volatile unsigned seen_arch;
static void* volatile seen_address;
static volatile uintptr_t seen_ip;

static void handler(int signal, siginfo_t* info, void* context) {
  (void)signal;
  ucontext_t* user = context;
  seen_number = info->si_syscall;
  seen_arch = info->si_arch;
  seen_address = info->si_call_addr;
  seen_errno = info->si_errno;
  seen_signal_code = info->si_code;
  seen_ip = (uintptr_t)user->uc_mcontext.gregs[REG_RIP];
  // The number is put back so that it could be restarted, and the arguments are the program's own.
  if (user->uc_mcontext.gregs[REG_RAX] != info->si_syscall) {
    FAIL("rax: got %lld, expected %d", (long long)user->uc_mcontext.gregs[REG_RAX], info->si_syscall);
  }
  user->uc_mcontext.gregs[REG_RAX] = 4000 + info->si_syscall;
}

int main(void) {
  guest_begin();
  guest_handle(SIGSYS, handler, 0);
  // Answered, rewritten, allowed and denied ones alike.
  const int numbers[] = {SYS_getpid, SYS_openat, SYS_kill,  SYS_wait4, SYS_dup,
                         SYS_ptrace, SYS_execve, SYS_uname, SYS_mkdir};
  for (unsigned i = 0; i < sizeof numbers / sizeof numbers[0]; ++i) {
    pid_t child = guest_fork();
    if (child == 0) {
      SYS(filter_one((unsigned)numbers[i], SECCOMP_RET_TRAP | 77, 0));
      for (int round = 0; round < 5; ++round) {
        seen_number = -1;
        long result = syscall(numbers[i], 100, 200, 300, 400);
        if (result != 4000 + numbers[i] || seen_number != numbers[i] || seen_errno != 77 ||
            seen_arch != AUDIT_ARCH_X86_64 || seen_signal_code != 1 || (uintptr_t)seen_address != seen_ip) {
          printf("call %d: result %ld, si_syscall %d, si_errno %d, si_arch %x, si_code %d, si_call_addr %p, rip %lx\n",
                 numbers[i], result, seen_number, seen_errno, seen_arch, seen_signal_code, seen_address,
                 (unsigned long)seen_ip);
          syscall(SYS_exit_group, 1);
        }
      }
      syscall(SYS_exit_group, 0);
    }
    REAP(child);
  }
  return guest_pass();
}
