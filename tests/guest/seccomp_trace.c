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

  // The action computed at run time, out of an accumulator that starts as zero, which is SECCOMP_RET_KILL_THREAD.
  child = guest_fork();
  if (child == 0) {
    struct sock_filter code[] = {
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mkdir, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rmdir, 4, 0),
        BPF_STMT(BPF_LD | BPF_IMM, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_A, 0),
        BPF_STMT(BPF_LD | BPF_IMM, SECCOMP_RET_TRACE | 9),
        BPF_STMT(BPF_RET | BPF_A, 0),
        BPF_STMT(BPF_LD | BPF_IMM, SECCOMP_RET_ERRNO | EXDEV),
        BPF_STMT(BPF_RET | BPF_A, 0),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};
    SYS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    SYS(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
    CHECK_EQ(prctl(PR_GET_SECCOMP), SECCOMP_MODE_FILTER);
    CHECK_ERRNO(syscall(SYS_mkdir, "directory", 0700), ENOSYS);
    CHECK_ERRNO(syscall(SYS_rmdir, "directory"), EXDEV);
    CHECK_ERRNO(access("directory", F_OK), ENOENT);
    // The caller's program is as it was.
    CHECK_EQ(code[8].code, BPF_RET | BPF_A);
    _exit(0);
  }
  REAP(child);
  return guest_pass();
}
