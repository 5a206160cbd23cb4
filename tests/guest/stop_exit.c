// A child that ends right after it was continued: who has waited for that news still finds the zombie (waitpid(2)).
#include "guest.h"

// Makes calls that name processes, so that news of others is fetched late.
static pid_t make_busy(void) {
  pid_t child = guest_fork();
  if (child == 0) {
    for (;;) {
      SYS(kill(getppid(), 0));
    }
  }
  return child;
}

int main(void) {
  guest_begin();
  pid_t busy[] = {make_busy(), make_busy(), make_busy()};
  for (int i = 0; i < 300; ++i) {
    pid_t child = guest_fork();
    if (child == 0) {
      SYS(raise(SIGSTOP));
      _exit(9);
    }
    int status;
    CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
    CHECK(WIFSTOPPED(status));
    SYS(kill(child, SIGCONT));
    CHECK_EQ(waitpid(child, &status, WCONTINUED), child);
    if (WIFCONTINUED(status)) {
      SYS(kill(child, 0));
      CHECK_EQ(waitpid(child, &status, 0), child);
    }
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 9);
  }
  for (int i = 0; i < 3; ++i) {
    SYS(kill(busy[i], SIGKILL));
    SYS(waitpid(busy[i], NULL, 0));
  }
  return guest_pass();
}
