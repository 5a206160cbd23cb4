// SECCOMP_RET_TRACE of a program's own filter, with nobody tracing it: ENOSYS, and the call is not made.
#include "filter.h"

int main(void) {
  guest_begin();
  pid_t child = guest_fork();
  if (child == 0) {
    SYS(filter_one(SYS_mkdir, SECCOMP_RET_TRACE | 5, 0));
    SYS(filter_one(SYS_dup, SECCOMP_RET_TRACE, 0));
    SYS(filter_one(SYS_sethostname, SECCOMP_RET_TRACE | 0xffff, 0));
    CHECK_ERRNO(syscall(SYS_mkdir, "directory", 0700), ENOSYS);
    CHECK_ERRNO(access("directory", F_OK), ENOENT);
    CHECK_ERRNO(syscall(SYS_dup, 0), ENOSYS);
    CHECK_ERRNO(syscall(SYS_sethostname, "x", 1), ENOSYS);
    _exit(0);
  }
  REAP(child);
  return guest_pass();
}
