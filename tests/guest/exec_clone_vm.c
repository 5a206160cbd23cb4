// exec of a process that shares its memory with the parent (CLONE_VM without vfork): the parent's memory stays as it
// was.
#include <sys/mman.h>

#include "guest.h"

enum { kStack = 65536 };
static volatile int marker = 1;

static int run(void* unused) {
  (void)unused;
  marker = 2;
  execl("/bin/true", "true", (char*)NULL);
  return 1;
}

int main(void) {
  guest_begin();
  char* stack = SYS(mmap(NULL, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  for (int round = 0; round < 30; ++round) {
    marker = 1;
    pid_t child = SYS(clone(run, stack + kStack, CLONE_VM | SIGCHLD, NULL));
    REAP(child);
    CHECK_EQ(marker, 2);
  }
  return guest_pass();
}
