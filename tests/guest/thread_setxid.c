// set*id in a process of many threads: the C library carries it to each by a signal whose sender it checks.
#include "guest.h"

enum { kThreads = 6 };
static struct gate ready, done;

static void* run(void* unused) {
  gate_open(&ready);
  gate_wait(&done);
  // Seen by this thread itself, not by the library.
  CHECK_EQ(syscall(SYS_geteuid), getuid());
  return unused;
}

int main(void) {
  guest_begin();
  ready = gate_make();
  done = gate_make();
  pthread_t threads[kThreads];
  for (int i = 0; i < kThreads; ++i) {
    threads[i] = guest_thread(run, NULL);
  }
  for (int i = 0; i < kThreads; ++i) {
    gate_wait(&ready);
  }
  for (int i = 0; i < 20; ++i) {
    SYS(setresuid(getuid(), getuid(), getuid()));
    SYS(setresgid(getgid(), getgid(), getgid()));
    SYS(seteuid(getuid()));
  }
  if (getuid() != 0) {
    CHECK_ERRNO(setresuid(0, 0, 0), EPERM);
    CHECK_ERRNO(setresgid(0, 0, 0), EPERM);
  }
  for (int i = 0; i < kThreads; ++i) {
    gate_open(&done);
  }
  for (int i = 0; i < kThreads; ++i) {
    guest_join(threads[i]);
  }
  return guest_pass();
}
