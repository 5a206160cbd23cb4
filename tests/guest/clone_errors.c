// clone(2): what the kernel refuses is refused the same way, and no child is left by it.
#include "guest.h"

static long raw_clone(unsigned long flags) {
  return syscall(SYS_clone, flags, NULL, NULL, NULL, 0);
}

int main(void) {
  guest_begin();
  CHECK_ERRNO(raw_clone(CLONE_THREAD | SIGCHLD), EINVAL);
  CHECK_ERRNO(raw_clone(CLONE_SIGHAND | SIGCHLD), EINVAL);
  CHECK_ERRNO(raw_clone(CLONE_VM | CLONE_THREAD | SIGCHLD), EINVAL);
  CHECK_ERRNO(raw_clone(CLONE_FS | CLONE_NEWNS | SIGCHLD), EINVAL);
  // CLONE_PIDFD of clone(2) writes where PARENT_SETTID would.
  int word;
  CHECK_ERRNO(syscall(SYS_clone, CLONE_PIDFD | CLONE_PARENT_SETTID | SIGCHLD, NULL, &word, NULL, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, NULL, (int*)8, NULL, 0), EFAULT);
  CHECK_ERRNO(waitpid(-1, NULL, __WALL), ECHILD);
  return guest_pass();
}
