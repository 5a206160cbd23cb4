// Faults: si_addr and si_code are the kernel's and nobody takes them for a pid.
#include <setjmp.h>
#include <sys/mman.h>

#include "guest.h"

static sigjmp_buf out;
static siginfo_t got;

static void handler(int signal, siginfo_t* info, void* context) {
  (void)signal;
  (void)context;
  got = *info;
  siglongjmp(out, 1);
}

int main(void) {
  guest_begin();
  guest_handle(SIGSEGV, handler, 0);
  guest_handle(SIGBUS, handler, 0);
  guest_handle(SIGFPE, handler, 0);
  guest_handle(SIGILL, handler, 0);
  guest_handle(SIGTRAP, handler, 0);
  // An address that, read as a pid, would be this process.
  uintptr_t low = (uintptr_t)getpid();
  for (int i = 0; i < 50; ++i) {
    if (sigsetjmp(out, 1) == 0) {
      *(volatile char*)low = 1;
    }
    CHECK_EQ(got.si_signo, SIGSEGV);
    CHECK_EQ(got.si_code, SEGV_MAPERR);
    CHECK_EQ((uintptr_t)got.si_addr, low);
  }
  char* page = SYS(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (sigsetjmp(out, 1) == 0) {
    *(volatile char*)(page + 5) = 1;
  }
  CHECK_EQ(got.si_code, SEGV_ACCERR);
  CHECK((char*)got.si_addr == page + 5);
  int fd = SYS(open("short", O_RDWR | O_CREAT, 0600));
  char* file = SYS(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0));
  if (sigsetjmp(out, 1) == 0) {
    (void)*(volatile char*)(file + 9);
  }
  CHECK_EQ(got.si_signo, SIGBUS);
  CHECK_EQ(got.si_code, BUS_ADRERR);
  CHECK((char*)got.si_addr == file + 9);
  if (sigsetjmp(out, 1) == 0) {
    __asm__ volatile("xor %%ecx, %%ecx\n\tmov $1, %%eax\n\tcltd\n\tidiv %%ecx" ::: "eax", "ecx", "edx", "cc");
  }
  CHECK_EQ(got.si_signo, SIGFPE);
  CHECK_EQ(got.si_code, FPE_INTDIV);
  if (sigsetjmp(out, 1) == 0) {
    __asm__ volatile("ud2");
  }
  CHECK_EQ(got.si_signo, SIGILL);
  CHECK_EQ(got.si_code, ILL_ILLOPN);
  if (sigsetjmp(out, 1) == 0) {
    __asm__ volatile("int3");
  }
  CHECK_EQ(got.si_signo, SIGTRAP);
  CHECK_EQ(got.si_code, SI_KERNEL);
  // Single stepping by the program's own trap flag.
  if (sigsetjmp(out, 1) == 0) {
    __asm__ volatile("pushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n\tnop\n\tnop" ::: "memory", "cc");
  }
  CHECK_EQ(got.si_signo, SIGTRAP);
  CHECK_EQ(got.si_code, TRAP_TRACE);
  return guest_pass();
}
