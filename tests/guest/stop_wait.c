// SIGSTOP and SIGCONT seen by waitpid: WUNTRACED, WCONTINUED, each once, none without the flag.
#include "guest.h"

int main(void) {
  guest_begin();
  struct gate up = gate_make(), down = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    gate_open(&up);
    gate_wait(&down);
    _exit(12);
  }
  gate_wait(&up);
  int status;
  for (int round = 0; round < 20; ++round) {
    SYS(kill(child, SIGSTOP));
    CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
    CHECK(WIFSTOPPED(status));
    CHECK_EQ(WSTOPSIG(status), SIGSTOP);
    CHECK_EQ(task_state(child, child), 'T');
    // Reported once, and never to a wait that did not ask.
    CHECK_EQ(waitpid(child, &status, WUNTRACED | WNOHANG), 0);
    CHECK_EQ(waitpid(child, &status, WNOHANG), 0);
    SYS(kill(child, SIGCONT));
    CHECK_EQ(waitpid(child, &status, WCONTINUED), child);
    CHECK(WIFCONTINUED(status));
    CHECK_EQ(waitpid(child, &status, WCONTINUED | WNOHANG), 0);
  }
  // A stop that nobody waited for is gone after the continue.
  SYS(kill(child, SIGSTOP));
  wait_state(child, child, "T");
  SYS(kill(child, SIGCONT));
  CHECK_EQ(waitpid(child, &status, WUNTRACED | WNOHANG), 0);
  CHECK_EQ(waitpid(child, &status, WCONTINUED), child);
  gate_open(&down);
  REAP_CODE(child, 12);
  return guest_pass();
}
