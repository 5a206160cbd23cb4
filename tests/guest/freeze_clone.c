// What processes share by clone(2) without being threads stays shared: memory, descriptors, directory and umask, signal
// actions; and nothing else does.
#include <sys/mman.h>

#include "guest.h"

static struct gate to_child, to_parent;
static volatile int in_memory;
static char stack[65536] __attribute__((aligned(16)));
static unsigned flags;

static void handler(int signal) {
  (void)signal;
}

static int child(void* argument) {
  (void)argument;
  for (int round = 1; round <= 2; ++round) {
    gate_wait(&to_child);
    in_memory = 100 + round;
    SYS(dup2(0, 70 + round));
    umask((mode_t)(010 + round));
    CHECK(signal(SIGUSR1 + round - 1, handler) != SIG_ERR);
    gate_open(&to_parent);
  }
  gate_wait(&to_child);
  _exit(5);
}

static void check(int round) {
  CHECK_EQ(in_memory, flags & CLONE_VM ? 100 + round : 0);
  CHECK_EQ(fcntl(70 + round, F_GETFD) >= 0, (flags & CLONE_FILES) != 0);
  mode_t mask = umask(022);
  CHECK_EQ(mask, flags & CLONE_FS ? (mode_t)(010 + round) : 022);
  struct sigaction action;
  SYS(sigaction(SIGUSR1 + round - 1, NULL, &action));
  CHECK_EQ(action.sa_handler == handler, (flags & CLONE_SIGHAND) != 0);
}

static void once(unsigned these) {
  flags = these;
  in_memory = 0;
  umask(022);
  for (int round = 1; round <= 2; ++round) {
    close(70 + round);
    signal(SIGUSR1 + round - 1, SIG_DFL);
  }
  pid_t pid = SYS(clone(child, stack + sizeof stack, (int)(these | SIGCHLD), NULL));
  guest_fence();
  gate_open(&to_child);
  gate_wait(&to_parent);
  check(1);
  guest_fence();
  gate_open(&to_child);
  gate_wait(&to_parent);
  check(2);
  gate_open(&to_child);
  guest_fence();
  REAP_CODE(pid, 5);
}

int main(void) {
  guest_begin();
  to_child = gate_make();
  to_parent = gate_make();
  once(0);
  once(CLONE_FILES);
  once(CLONE_FS);
  once(CLONE_FILES | CLONE_FS);
  once(CLONE_VM);
  once(CLONE_VM | CLONE_SIGHAND);
  once(CLONE_VM | CLONE_FILES | CLONE_FS | CLONE_SIGHAND);
  return guest_pass();
}
