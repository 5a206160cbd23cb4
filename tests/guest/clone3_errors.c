// clone3: what the kernel refuses is refused the same way.
#include <linux/sched.h>

#include "guest.h"

static long clone3(struct clone_args* args, size_t size) {
  return syscall(SYS_clone3, args, size);
}

static struct {
  struct clone_args args;
  char tail[64];
} large;

int main(void) {
  guest_begin();
  struct clone_args args = {.exit_signal = SIGCHLD};
  CHECK_ERRNO(clone3(&args, 32), EINVAL);
  CHECK_ERRNO(clone3((struct clone_args*)8, sizeof args), EFAULT);
  CHECK_ERRNO(clone3(&args, 1 << 20), E2BIG);

  args = (struct clone_args){.flags = CLONE_THREAD};
  CHECK_ERRNO(clone3(&args, sizeof args), EINVAL);
  args = (struct clone_args){.flags = CLONE_SIGHAND, .exit_signal = SIGCHLD};
  CHECK_ERRNO(clone3(&args, sizeof args), EINVAL);
  args = (struct clone_args){.flags = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD, .exit_signal = SIGCHLD};
  CHECK_ERRNO(clone3(&args, sizeof args), EINVAL);
  args = (struct clone_args){.flags = CLONE_DETACHED, .exit_signal = SIGCHLD};
  CHECK_ERRNO(clone3(&args, sizeof args), EINVAL);
  args = (struct clone_args){.exit_signal = 200};
  CHECK_ERRNO(clone3(&args, sizeof args), EINVAL);
  args = (struct clone_args){.flags = SIGCHLD, .exit_signal = SIGCHLD};
  CHECK_ERRNO(clone3(&args, sizeof args), EINVAL);
  args = (struct clone_args){.exit_signal = SIGCHLD, .stack = 4096};
  CHECK_ERRNO(clone3(&args, sizeof args), EINVAL);
  args = (struct clone_args){.exit_signal = SIGCHLD, .stack_size = 4096};
  CHECK_ERRNO(clone3(&args, sizeof args), EINVAL);
  args = (struct clone_args){.exit_signal = SIGCHLD, .set_tid = 4096};
  CHECK_ERRNO(clone3(&args, sizeof args), EINVAL);
  args = (struct clone_args){.exit_signal = SIGCHLD, .set_tid_size = 1};
  CHECK_ERRNO(clone3(&args, sizeof args), EINVAL);
  args = (struct clone_args){.flags = CLONE_FS | CLONE_NEWNS, .exit_signal = SIGCHLD};
  CHECK_ERRNO(clone3(&args, sizeof args), EINVAL);
  args = (struct clone_args){.flags = 1ull << 60, .exit_signal = SIGCHLD};
  CHECK_ERRNO(clone3(&args, sizeof args), EINVAL);
  args = (struct clone_args){.flags = CLONE_PIDFD, .pidfd = 8, .exit_signal = SIGCHLD};
  CHECK_ERRNO(clone3(&args, sizeof args), EFAULT);
  args = (struct clone_args){.flags = CLONE_PARENT_SETTID, .parent_tid = 8, .exit_signal = SIGCHLD};
  // The kernel ignores that it can't write the number.
  long child = SYS(clone3(&args, sizeof args));
  if (child == 0) {
    _exit(0);
  }
  REAP((pid_t)child);

  // A larger struct is fine as long as what this kernel does not know is zero.
  large.args.exit_signal = SIGCHLD;
  child = SYS(clone3(&large.args, sizeof large));
  if (child == 0) {
    _exit(0);
  }
  REAP((pid_t)child);
  large.tail[40] = 1;
  CHECK_ERRNO(clone3(&large.args, sizeof large), E2BIG);

  // The first version of the struct.
  args = (struct clone_args){.exit_signal = SIGCHLD};
  child = SYS(clone3(&args, 64));
  if (child == 0) {
    _exit(0);
  }
  REAP((pid_t)child);
  CHECK_ERRNO(waitpid(-1, NULL, __WALL), ECHILD);
  return guest_pass();
}
