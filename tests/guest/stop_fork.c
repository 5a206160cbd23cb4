// Group stops in the midst of forks, vforks and execs: children and parents go on after SIGCONT, no status is lost.
#include <spawn.h>

#include "guest.h"

extern char** environ;

static pid_t make(int way) {
  pid_t child;
  if (way == 0) {
    char* arguments[] = {"sh", "-c", "exit 8", NULL};
    PTHREAD(posix_spawn(&child, "/bin/sh", NULL, NULL, arguments, environ));
    return child;
  }
  child = way == 1 ? fork() : vfork();
  if (child == 0) {
    _exit(8);
  }
  return child;
}

int main(void) {
  guest_begin();
  struct gate up = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    gate_open(&up);
    for (int i = 0; i < 150; ++i) {
      REAP_CODE(make(i % 3), 8);
    }
    _exit(16);
  }
  gate_wait(&up);
  int status;
  for (;;) {
    // Not the group: a stopped vfork child would keep its parent from stopping, natively too.
    SYS(kill(child, SIGSTOP));
    CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
    if (!WIFSTOPPED(status)) {
      break;
    }
    SYS(kill(child, SIGCONT));
    CHECK_EQ(waitpid(child, &status, WCONTINUED), child);
    if (!WIFCONTINUED(status)) {
      break;
    }
  }
  CHECK(WIFEXITED(status));
  CHECK_EQ(WEXITSTATUS(status), 16);
  return guest_pass();
}
