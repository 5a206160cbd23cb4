// CLONE_PARENT: the new process is a sibling; the caller's parent waits for it, the caller can't.
#include "guest.h"

int main(void) {
  guest_begin();
  pid_t self = getpid();
  struct gate up = gate_make();
  // From a child, because a pid namespace's init may not do it.
  pid_t child = guest_fork();
  if (child == 0) {
    pid_t sibling = (pid_t)SYS(syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, 0));
    if (sibling == 0) {
      CHECK_EQ(getppid(), self);
      gate_send(&up, getpid());
      _exit(31);
    }
    CHECK_ERRNO(waitpid(sibling, NULL, 0), ECHILD);
    gate_send(&up, sibling);
    _exit(32);
  }
  REAP_CODE(child, 32);
  long first = gate_receive(&up), second = gate_receive(&up);
  CHECK_EQ(first, second);
  REAP_CODE((pid_t)first, 31);
  return guest_pass();
}
