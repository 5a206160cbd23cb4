// RLIMIT_SIGPENDING: sigqueue beyond it fails with EAGAIN, as many as were queued arrive, kill still gets through.
#include <sys/resource.h>

#include "guest.h"

int main(void) {
  guest_begin();
  guest_block(SIGRTMIN + 4);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN + 4);
  // The count is the user's over all processes, so nobody knows at which number it ends.
  struct rlimit limit = {200, 200};
  SYS(setrlimit(RLIMIT_SIGPENDING, &limit));
  int queued = 0;
  for (;; ++queued) {
    union sigval value = {.sival_int = queued};
    if (sigqueue(getpid(), SIGRTMIN + 4, value) != 0) {
      CHECK_EQ(errno, EAGAIN);
      break;
    }
    CHECK(queued <= 200);
  }
  for (int i = 0; i < queued; ++i) {
    siginfo_t info;
    CHECK_EQ(SYS(sigwaitinfo(&set, &info)), SIGRTMIN + 4);
    CHECK_EQ(info.si_value.sival_int, i);
    CHECK_EQ(info.si_pid, getpid());
  }
  struct timespec none = {0, 0};
  CHECK_ERRNO(sigtimedwait(&set, NULL, &none), EAGAIN);
  return guest_pass();
}
