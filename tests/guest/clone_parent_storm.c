// CLONE_PARENT by several processes at once: every sibling belongs to their parent, which waits for each of them.
#include "guest.h"

enum { kMakers = 4, kSiblings = 300 };

int main(void) {
  guest_begin();
  pid_t self = getpid();
  struct gate made = gate_make();
  pid_t makers[kMakers];
  for (int i = 0; i < kMakers; ++i) {
    makers[i] = guest_fork();
    if (makers[i] == 0) {
      for (int n = 0; n < kSiblings; ++n) {
        pid_t sibling = (pid_t)SYS(syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, 0));
        if (sibling == 0) {
          _exit(getppid() == self ? 31 : 1);
        }
        gate_send(&made, sibling);
      }
      _exit(32);
    }
  }
  for (int n = 0; n < kMakers * kSiblings; ++n) {
    REAP_CODE((pid_t)gate_receive(&made), 31);
  }
  for (int i = 0; i < kMakers; ++i) {
    REAP_CODE(makers[i], 32);
  }
  CHECK_ERRNO(waitpid(-1, NULL, 0), ECHILD);
  return guest_pass();
}
