// Many threads in waitpid(-1) at once: each child is reaped by exactly one of them, with its own status.
#include "guest.h"

enum { kThreads = 6, kChildren = 120 };
static pid_t children[kChildren];
static int reaped[kChildren];
static struct gate start;

static void* run(void* unused) {
  gate_wait(&start);
  for (;;) {
    int status;
    pid_t child = waitpid(-1, &status, 0);
    if (child < 0) {
      CHECK_EQ(errno, ECHILD);
      return unused;
    }
    CHECK(WIFEXITED(status));
    int index = WEXITSTATUS(status);
    CHECK_EQ(children[index], child);
    CHECK_EQ(__atomic_fetch_add(&reaped[index], 1, __ATOMIC_RELAXED), 0);
  }
}

int main(void) {
  guest_begin();
  start = gate_make();
  struct gate down = gate_make();
  for (int i = 0; i < kChildren; ++i) {
    children[i] = guest_fork();
    if (children[i] == 0) {
      gate_wait(&down);
      _exit(i);
    }
  }
  pthread_t threads[kThreads];
  for (int i = 0; i < kThreads; ++i) {
    threads[i] = guest_thread(run, NULL);
    gate_open(&start);
  }
  for (int i = 0; i < kChildren; ++i) {
    gate_open(&down);
  }
  for (int i = 0; i < kThreads; ++i) {
    guest_join(threads[i]);
  }
  for (int i = 0; i < kChildren; ++i) {
    CHECK_EQ(reaped[i], 1);
  }
  return guest_pass();
}
