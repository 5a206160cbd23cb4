// clone3: parent_tid, child_tid, pidfd, exit_signal and a stack of its own, alone and together.
#include <linux/sched.h>
#include <sys/mman.h>

#include "guest.h"

static long clone3(struct clone_args* args) {
  return syscall(SYS_clone3, args, sizeof *args);
}

// clone3 with a new stack: the child can't return from the C function that made it.
static long clone3_call(struct clone_args* args, void (*run)(void*), void* argument) {
  register void (*run_register)(void*) __asm__("r12") = run;
  register void* argument_register __asm__("r13") = argument;
  long result;
  __asm__ volatile(
      "syscall\n\t"
      "test %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "xor %%ebp, %%ebp\n\t"
      "mov %%r13, %%rdi\n\t"
      "call *%%r12\n\t"
      "hlt\n"
      "1:"
      : "=a"(result)
      : "a"(SYS_clone3), "D"(args), "S"(sizeof *args), "r"(run_register), "r"(argument_register)
      : "rcx", "r11", "memory");
  return result;
}

static volatile int seen;

static void in_shared_memory(void* argument) {
  seen = raw_getpid();
  *(volatile int*)argument += 1;
  _exit(11);
}

int main(void) {
  guest_begin();
  int parent_tid = -1, child_tid = -1, pidfd = -1;
  struct clone_args args = {.flags = CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_PIDFD,
                            .pidfd = (uintptr_t)&pidfd,
                            .child_tid = (uintptr_t)&child_tid,
                            .parent_tid = (uintptr_t)&parent_tid,
                            .exit_signal = SIGCHLD};
  long child = SYS(clone3(&args));
  if (child == 0) {
    CHECK_EQ(child_tid, raw_getpid());
    CHECK_EQ(parent_tid, -1);  // Written into the parent's memory only, after the copy.
    _exit(2);
  }
  CHECK_EQ(parent_tid, child);
  CHECK_EQ(child_tid, -1);
  CHECK(pidfd > 2);
  CHECK_EQ(fcntl(pidfd, F_GETFD), FD_CLOEXEC);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
  CHECK_EQ(status_field(path, "Pid"), child);
  siginfo_t info = {0};
  SYS(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED));
  CHECK_EQ(info.si_pid, child);
  CHECK_EQ(info.si_status, 2);
  close(pidfd);

  // A stack of its own in shared memory, vfork semantics, no exit signal: only __WCLONE or __WALL waits see it.
  enum { kStack = 65536 };
  char* stack = SYS(mmap(NULL, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  volatile int counter = 0;
  args = (struct clone_args){.flags = CLONE_VM | CLONE_VFORK | CLONE_PARENT_SETTID,
                             .parent_tid = (uintptr_t)&parent_tid,
                             .stack = (uintptr_t)stack,
                             .stack_size = kStack};
  child = SYS(clone3_call(&args, in_shared_memory, (void*)&counter));
  CHECK_EQ(counter, 1);
  CHECK_EQ(seen, child);
  CHECK_EQ(parent_tid, child);
  CHECK_ERRNO(waitpid((pid_t)child, NULL, 0), ECHILD);
  int status;
  CHECK_EQ(waitpid((pid_t)child, &status, __WCLONE), child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 11);

  // CLONE_CLEAR_SIGHAND: handlers go, ignored signals too.
  signal(SIGUSR1, SIG_IGN);
  args = (struct clone_args){.flags = 0x100000000ull, .exit_signal = SIGCHLD};
  child = SYS(clone3(&args));
  if (child == 0) {
    struct sigaction action;
    SYS(sigaction(SIGUSR1, NULL, &action));
    _exit(action.sa_handler == SIG_IGN ? 0 : 1);
  }
  REAP((pid_t)child);  // SIG_IGN stays; only handlers are cleared.
  return guest_pass();
}
