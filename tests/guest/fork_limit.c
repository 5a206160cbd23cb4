// RLIMIT_NPROC: a fork and a thread beyond it fail with EAGAIN and leave nothing behind; the user root is exempt.
#include <sys/resource.h>

#include "guest.h"

static void* run(void* unused) {
  return unused;
}

int main(void) {
  guest_begin();
  pid_t child = guest_fork();
  if (child == 0) {
    if (getuid() == 0 && setresuid(65534, 65534, 65534) != 0) {
      // In a sandbox root has no capability to become anybody else.
      CHECK_EQ(errno, EPERM);
    }
    struct rlimit none = {1, 1};
    SYS(setrlimit(RLIMIT_NPROC, &none));
    pid_t first = fork();
    int error = errno;
    if (first == 0) {
      _exit(0);
    }
    if (getuid() == 0) {
      REAP(first);
      _exit(0);
    }
    if (first > 0) {
      FAIL("fork beyond RLIMIT_NPROC: got pid %d, expected EAGAIN", first);
    }
    CHECK_EQ(error, EAGAIN);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, run, NULL), EAGAIN);
    CHECK_ERRNO(waitpid(-1, NULL, 0), ECHILD);
    _exit(0);
  }
  REAP(child);
  return guest_pass();
}
