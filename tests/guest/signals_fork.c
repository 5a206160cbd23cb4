// A 1 kHz timer with SA_RESTART while children are forked, vforked, executed and waited for: all of them, once, with
// the right status.
#include <spawn.h>

#include "storm.h"

extern char** environ;

static pid_t make_vfork(int code) {
  pid_t child = vfork();
  if (child == 0) {
    _exit(code);
  }
  return child;
}

int main(void) {
  guest_begin();
  timer_t timer = storm_begin(SA_RESTART);
  for (int i = 0; !storm_enough(i, 100); ++i) {
    int status, code = i % 200;
    pid_t child = fork();
    if (child == 0) {
      // Timers are not inherited.
      _exit(code);
    }
    CHECK(child > 0);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, code << 8);
    child = make_vfork(code);
    CHECK(child > 0);
    CHECK_EQ(waitpid(-1, &status, 0), child);
    CHECK_EQ(status, code << 8);
    char* arguments[] = {"sh", "-c", "exit 3", NULL};
    PTHREAD(posix_spawn(&child, "/bin/sh", NULL, NULL, arguments, environ));
    siginfo_t info = {0};
    SYS(waitid(P_PID, (id_t)child, &info, WEXITED));
    CHECK_EQ(info.si_pid, child);
    CHECK_EQ(info.si_status, 3);
  }
  CHECK_ERRNO(waitpid(-1, NULL, 0), ECHILD);
  storm_end(timer);
  return guest_pass();
}
