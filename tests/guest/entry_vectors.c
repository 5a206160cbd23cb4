// Vector and floating-point state across interposed calls: all of it is kept, as the C ABI of a raw call promises.
#include "guest.h"

int main(void) {
  guest_begin();
  static const char path[] = "/dev/null";
  static char before[16 * 16] __attribute__((aligned(16))), after[16 * 16] __attribute__((aligned(16)));
  const long numbers[] = {SYS_getpid, SYS_kill, SYS_stat, SYS_dup3, SYS_fork};
  static struct stat status;
  for (int round = 0; round < 200; ++round) {
    for (unsigned i = 0; i < sizeof before; ++i) {
      before[i] = (char)(i * 7 + (unsigned)round);
    }
    long number = numbers[round % 5], result;
    long first = number == SYS_kill ? getpid() : number == SYS_stat ? (long)(intptr_t)path : 0;
    long second = number == SYS_stat ? (long)(intptr_t)&status : 0;
    uint16_t control = 0x0f7f, control_after = 0;
    uint32_t mxcsr = 0x3f80, mxcsr_after = 0, mxcsr_default = 0x1f80;
    uint16_t control_default = 0x037f;
    __asm__ volatile(
        "fldcw %[control]\n\t"
        "ldmxcsr %[mxcsr]\n\t"
        "movdqa 0(%[in]), %%xmm0\n\tmovdqa 16(%[in]), %%xmm1\n\tmovdqa 32(%[in]), %%xmm2\n\t"
        "movdqa 48(%[in]), %%xmm3\n\tmovdqa 64(%[in]), %%xmm4\n\tmovdqa 80(%[in]), %%xmm5\n\t"
        "movdqa 96(%[in]), %%xmm6\n\tmovdqa 112(%[in]), %%xmm7\n\tmovdqa 128(%[in]), %%xmm8\n\t"
        "movdqa 144(%[in]), %%xmm9\n\tmovdqa 160(%[in]), %%xmm10\n\tmovdqa 176(%[in]), %%xmm11\n\t"
        "movdqa 192(%[in]), %%xmm12\n\tmovdqa 208(%[in]), %%xmm13\n\tmovdqa 224(%[in]), %%xmm14\n\t"
        "movdqa 240(%[in]), %%xmm15\n\t"
        "syscall\n\t"
        "movdqa %%xmm0, 0(%[out])\n\tmovdqa %%xmm1, 16(%[out])\n\tmovdqa %%xmm2, 32(%[out])\n\t"
        "movdqa %%xmm3, 48(%[out])\n\tmovdqa %%xmm4, 64(%[out])\n\tmovdqa %%xmm5, 80(%[out])\n\t"
        "movdqa %%xmm6, 96(%[out])\n\tmovdqa %%xmm7, 112(%[out])\n\tmovdqa %%xmm8, 128(%[out])\n\t"
        "movdqa %%xmm9, 144(%[out])\n\tmovdqa %%xmm10, 160(%[out])\n\tmovdqa %%xmm11, 176(%[out])\n\t"
        "movdqa %%xmm12, 192(%[out])\n\tmovdqa %%xmm13, 208(%[out])\n\tmovdqa %%xmm14, 224(%[out])\n\t"
        "movdqa %%xmm15, 240(%[out])\n\t"
        "fnstcw %[control_after]\n\t"
        "stmxcsr %[mxcsr_after]\n\t"
        "fldcw %[control_default]\n\t"
        "ldmxcsr %[mxcsr_default]\n\t"
        : "=a"(result), [control_after] "=m"(control_after), [mxcsr_after] "=m"(mxcsr_after)
        : "a"(number), "D"(first), "S"(second), "d"(0l), [in] "r"(before), [out] "r"(after), [control] "m"(control),
          [mxcsr] "m"(mxcsr), [control_default] "m"(control_default), [mxcsr_default] "m"(mxcsr_default)
        : "rcx", "r11", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
          "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
    int intact = memcmp(before, after, sizeof before) == 0 && control_after == control && mxcsr_after == mxcsr;
    if (number == SYS_fork && result == 0) {
      // A new process has its parent's state too.
      _exit(intact ? 0 : 1);
    }
    if (!intact) {
      FAIL("syscall %ld changed vector or floating-point state (control 0x%x, mxcsr 0x%x)", number, control_after,
           mxcsr_after);
    }
    if (number == SYS_fork) {
      REAP((pid_t)result);
    }
  }
  return guest_pass();
}
