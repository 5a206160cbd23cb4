// A program's own filters: ERRNO, KILL_PROCESS, KILL_THREAD and LOG on calls that Beam interposes and on others;
// inherited by fork, kept over exec, stacked.
#include "filter.h"

static void* denied(void* unused) {
  raw_getpid();
  return unused;
}

int main(int argc, char** argv) {
  guest_begin();
  if (argc == 2) {
    CHECK_ERRNO(syscall(SYS_mkdir, "directory", 0700), EBADMSG);
    CHECK_ERRNO(syscall(SYS_getppid), EXDEV);
    return 21;
  }
  pid_t child = guest_fork();
  if (child == 0) {
    SYS(filter_one(SYS_mkdir, SECCOMP_RET_ERRNO | EBADMSG, 0));
    SYS(filter_one(SYS_getppid, SECCOMP_RET_ERRNO | EXDEV, 0));
    SYS(filter_one(SYS_dup2, SECCOMP_RET_ERRNO | EHOSTDOWN, 0));
    CHECK_ERRNO(syscall(SYS_mkdir, "directory", 0700), EBADMSG);
    CHECK_ERRNO(syscall(SYS_getppid), EXDEV);
    CHECK_ERRNO(syscall(SYS_dup2, 0, 50), EHOSTDOWN);
    CHECK_EQ(raw_getpid(), getpid());
    // The first listed action of two filters for one call is not what counts, but the severer.
    SYS(filter_one(SYS_mkdir, SECCOMP_RET_ALLOW, 0));
    CHECK_ERRNO(syscall(SYS_mkdir, "directory", 0700), EBADMSG);
    pid_t grandchild = guest_fork();
    if (grandchild == 0) {
      CHECK_ERRNO(syscall(SYS_getppid), EXDEV);
      execl("/proc/self/exe", argv[0], "executed", (char*)NULL);
      _exit(127);
    }
    REAP_CODE(grandchild, 21);
    _exit(0);
  }
  REAP(child);
  for (int way = 0; way < 4; ++way) {
    child = guest_fork();
    if (child == 0) {
      unsigned number = way % 2 ? SYS_getpid : SYS_dup;
      SYS(filter_one(number, way < 2 ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_KILL_THREAD, 0));
      syscall(number, 0);
      syscall(SYS_exit_group, 1);
    }
    REAP_SIGNAL(child, SIGSYS);
  }
  // KILL_THREAD in a thread ends it alone.
  child = guest_fork();
  if (child == 0) {
    SYS(filter_one(SYS_getpid, SECCOMP_RET_KILL_THREAD, 0));
    pthread_t thread = guest_thread(denied, NULL);
    guest_join(thread);
    syscall(SYS_exit_group, 22);
  }
  REAP_CODE(child, 22);
  CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, 8), EFAULT);
  CHECK_ERRNO(syscall(SYS_seccomp, 99, 0, NULL), EINVAL);
  uint32_t action = SECCOMP_RET_TRAP;
  SYS(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action));
  return guest_pass();
}
