// Seccomp's strict mode: read, write, _exit and sigreturn go on, anything else is SIGKILL.
#include "filter.h"

static volatile sig_atomic_t hits;

static void handler(int signal) {
  (void)signal;
  hits = hits + 1;
}

static void* lapse(void* unused) {
  SYS(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT));
  raw_getpid();
  // Not reached.
  syscall(SYS_exit_group, 39);
  return unused;
}

int main(void) {
  guest_begin();
  struct gate gate = gate_make();
  for (int way = 0; way < 3; ++way) {
    pid_t child = guest_fork();
    if (child == 0) {
      alarm(0);
      SYS(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT));
      gate_open(&gate);
      gate_wait(&gate);
      gate_open(&gate);
      if (way == 0) {
        raw_getpid();
      } else if (way == 1) {
        syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY);
      }
      syscall(SYS_exit, 35);
    }
    int status = guest_status(child);
    gate_wait(&gate);
    if (way == 2) {
      CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 35);
    } else {
      CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }
  }
  // A handler runs and returns.
  pid_t child = guest_fork();
  if (child == 0) {
    signal(SIGUSR1, handler);
    alarm(0);
    SYS(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT));
    gate_open(&gate);
    while (hits == 0) {
    }
    syscall(SYS_exit, 36);
  }
  gate_wait(&gate);
  SYS(kill(child, SIGUSR1));
  REAP_CODE(child, 36);
  // By seccomp(2), and not twice.
  child = guest_fork();
  if (child == 0) {
    alarm(0);
    SYS(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, NULL));
    syscall(SYS_exit, 37);
  }
  REAP_CODE(child, 37);
  CHECK_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 1, NULL), EINVAL);
  // Not on top of a filter.
  child = guest_fork();
  if (child == 0) {
    SYS(filter_one(SYS_mkdir, SECCOMP_RET_ERRNO | EXDEV, 0));
    CHECK_EQ(prctl(PR_GET_SECCOMP), SECCOMP_MODE_FILTER);
    CHECK_EQ(status_field("/proc/self/status", "Seccomp"), SECCOMP_MODE_FILTER);
    CHECK_ERRNO(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT), EINVAL);
    _exit(0);
  }
  REAP(child);
  // It is the thread's own, and ends the thread alone.
  child = guest_fork();
  if (child == 0) {
    guest_join(guest_thread(lapse, NULL));
    _exit(38);
  }
  REAP_CODE(child, 38);
  return guest_pass();
}
