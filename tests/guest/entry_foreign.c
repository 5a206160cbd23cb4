// The other ways into the kernel: int 0x80 and x32 numbers. In a sandbox both answer ENOSYS and nothing is done.
#include <setjmp.h>

#include "guest.h"

static sigjmp_buf out;

static void handler(int signal, siginfo_t* info, void* context) {
  (void)signal;
  (void)info;
  (void)context;
  siglongjmp(out, 1);
}

static long int80(long number, long argument) {
  long result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(argument) : "memory", "r8", "r9", "r10", "r11");
  return (int)result;
}

int main(void) {
  guest_begin();
  // A kernel without 32-bit support faults.
  guest_handle(SIGSEGV, handler, 0);
  enum { kGetpid32 = 20, kKill32 = 37, kExit32 = 1, kGettid32 = 224 };
  if (sigsetjmp(out, 1) == 0) {
    long pid = int80(kGetpid32, 0), tid = int80(kGettid32, 0);
    if (under_beam()) {
      CHECK_EQ(pid, -ENOSYS);
      CHECK_EQ(tid, -ENOSYS);
      CHECK_EQ(int80(kExit32, 9), -ENOSYS);
    } else {
      CHECK(pid == getpid() || pid == -ENOSYS);
    }
  } else {
    CHECK(!under_beam());
  }
  long pid = syscall(0x40000000 | SYS_getpid);
  if (under_beam()) {
    CHECK_EQ(pid, -1);
    CHECK_EQ(errno, ENOSYS);
    CHECK_ERRNO(syscall(0x40000000 | 520 /* execve */, "/bin/true", NULL, NULL), ENOSYS);
  } else {
    CHECK(pid == getpid() || errno == ENOSYS);
  }
  return guest_pass();
}
