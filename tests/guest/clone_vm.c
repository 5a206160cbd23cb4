// CLONE_VM processes: memory is shared, pids are not; two at once beside a thread.
#include <sys/mman.h>

#include "guest.h"

enum { kStack = 65536 };
static volatile pid_t seen[2];
static struct gate up, down[2];

static int run(void* argument) {
  int index = (int)(intptr_t)argument;
  seen[index] = raw_getpid();
  CHECK_EQ(raw_gettid(), seen[index]);
  CHECK_EQ(syscall(SYS_getppid), guest_top);
  gate_open(&up);
  gate_wait(&down[index]);
  return 40 + index;
}

static void* thread(void* unused) {
  (void)unused;
  gate_wait(&up);
  gate_wait(&up);
  gate_open(&down[0]);
  gate_open(&down[1]);
  return NULL;
}

int main(void) {
  guest_begin();
  up = gate_make();
  down[0] = gate_make();
  down[1] = gate_make();
  pid_t children[2];
  for (intptr_t i = 0; i < 2; ++i) {
    char* stack = SYS(mmap(NULL, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    children[i] = SYS(clone(run, stack + kStack, CLONE_VM | SIGCHLD, (void*)i));
  }
  pthread_t other = guest_thread(thread, NULL);
  guest_join(other);
  REAP_CODE(children[0], 40);
  REAP_CODE(children[1], 41);
  CHECK_EQ(seen[0], children[0]);
  CHECK_EQ(seen[1], children[1]);
  CHECK_NE(seen[0], seen[1]);
  return guest_pass();
}
