// A system call changes rax, rcx and r11 and nothing else: for calls that are allowed, answered, rewritten and denied.
#include "guest.h"

struct registers {
  uint64_t rbx, rbp, rdi, rsi, rdx, r8, r9, r10, r12, r13, r14, r15;
};

static long call(long number, const struct registers* in, struct registers* out) {
  long result;
  // rbp and rbx are saved by hand, for the compiler may keep its frame in them.
  __asm__ volatile(
      "push %%rbp\n\t"
      "push %%rbx\n\t"
      "push %[out]\n\t"
      "mov %[in], %%rcx\n\t"
      "mov %[number], %%rax\n\t"
      "mov 0(%%rcx), %%rbx\n\t"
      "mov 8(%%rcx), %%rbp\n\t"
      "mov 16(%%rcx), %%rdi\n\t"
      "mov 24(%%rcx), %%rsi\n\t"
      "mov 32(%%rcx), %%rdx\n\t"
      "mov 40(%%rcx), %%r8\n\t"
      "mov 48(%%rcx), %%r9\n\t"
      "mov 56(%%rcx), %%r10\n\t"
      "mov 64(%%rcx), %%r12\n\t"
      "mov 72(%%rcx), %%r13\n\t"
      "mov 80(%%rcx), %%r14\n\t"
      "mov 88(%%rcx), %%r15\n\t"
      "syscall\n\t"
      "pop %%rcx\n\t"
      "mov %%rbx, 0(%%rcx)\n\t"
      "mov %%rbp, 8(%%rcx)\n\t"
      "mov %%rdi, 16(%%rcx)\n\t"
      "mov %%rsi, 24(%%rcx)\n\t"
      "mov %%rdx, 32(%%rcx)\n\t"
      "mov %%r8, 40(%%rcx)\n\t"
      "mov %%r9, 48(%%rcx)\n\t"
      "mov %%r10, 56(%%rcx)\n\t"
      "mov %%r12, 64(%%rcx)\n\t"
      "mov %%r13, 72(%%rcx)\n\t"
      "mov %%r14, 80(%%rcx)\n\t"
      "mov %%r15, 88(%%rcx)\n\t"
      "pop %%rbx\n\t"
      "pop %%rbp\n\t"
      : "=a"(result)
      : [number] "r"(number), [in] "r"(in), [out] "r"(out)
      : "rcx", "rdx", "rdi", "rsi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
  return result;
}

int main(void) {
  guest_begin();
  static char path[] = "/dev/null", buffer[4096];
  static int status;
  uint64_t self = (uint64_t)getpid();
  struct {
    long number;
    uint64_t first, second, third, fourth;
  } calls[] = {
      {SYS_getpid, 1, 2, 3, 4},
      {SYS_gettid, 1, 2, 3, 4},
      {SYS_getppid, 1, 2, 3, 4},
      {SYS_dup, 0, 2, 3, 4},
      {SYS_kill, self, 0, 3, 4},
      {SYS_tgkill, self, self, 0, 4},
      {SYS_kill, 0x3fffffff, 0, 3, 4},
      {SYS_openat, (uint64_t)AT_FDCWD, (uint64_t)(uintptr_t)path, O_RDONLY | O_CLOEXEC, 4},
      {SYS_stat, (uint64_t)(uintptr_t)path, (uint64_t)(uintptr_t)buffer, 3, 4},
      {SYS_wait4, (uint64_t)-1, (uint64_t)(uintptr_t)&status, WNOHANG, 0},
      {SYS_wait4, self, (uint64_t)(uintptr_t)&status, WNOHANG, 0},
      {SYS_getpgid, self, 2, 3, 4},
      {SYS_setpgid, 0x3fffffff, 0, 3, 4},
      {SYS_execve, 8, 0, 0, 4},
      {SYS_fcntl, 0, F_GETOWN, 3, 4},
      {SYS_sched_getscheduler, self, 2, 3, 4},
      {SYS_uname, (uint64_t)(uintptr_t)buffer, 2, 3, 4},
      {SYS_getcwd, (uint64_t)(uintptr_t)buffer, sizeof buffer, 3, 4},
      {SYS_readlink, (uint64_t)(uintptr_t)path, (uint64_t)(uintptr_t)buffer, 10, 4},
      {SYS_io_uring_setup, 0, 0, 3, 4},
      {SYS_ptrace, 99, 0, 3, 4},
      {1000, 1, 2, 3, 4},
  };
  for (unsigned i = 0; i < sizeof calls / sizeof calls[0]; ++i) {
    for (int round = 0; round < 20; ++round) {
      struct registers in = {0xb1b1b1b1b1b1b1b1, 0xb2b2b2b2b2b2b2b2, calls[i].first,     calls[i].second,
                             calls[i].third,     0x8888888888888888, 0x9999999999999999, calls[i].fourth,
                             0x1212121212121212, 0x1313131313131313, 0x1414141414141414, 0x1515151515151515};
      struct registers out;
      memset(&out, 0, sizeof out);
      long result = call(calls[i].number, &in, &out);
      if (memcmp(&in, &out, sizeof in) != 0) {
        const uint64_t *before = (const uint64_t*)&in, *after = (const uint64_t*)&out;
        static const char* const names[] = {"rbx", "rbp", "rdi", "rsi", "rdx", "r8",
                                            "r9",  "r10", "r12", "r13", "r14", "r15"};
        for (int r = 0; r < 12; ++r) {
          if (before[r] != after[r]) {
            FAIL("syscall %ld changed %s: got 0x%llx, expected 0x%llx", calls[i].number, names[r],
                 (unsigned long long)after[r], (unsigned long long)before[r]);
          }
        }
      }
      if (calls[i].number == SYS_openat || calls[i].number == SYS_dup) {
        CHECK(result >= 0);
        SYS(close((int)result));
      }
    }
  }
  return guest_pass();
}
