// PR_SET_DUMPABLE: what is set is read back, inherited by fork, reset by exec; a process that is not dumpable still
// works.
#include <linux/kcmp.h>
#include <sys/uio.h>

#include "guest.h"

static char secret[] = "secret";

// Another process of the same user may look into one that is dumpable only.
static void others(void) {
  struct gate up = gate_make(), down = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    for (int dumpable = 0; dumpable < 2; ++dumpable) {
      SYS(prctl(PR_SET_DUMPABLE, dumpable));
      gate_open(&up);
      gate_wait(&down);
    }
    _exit(0);
  }
  char text[sizeof secret] = "";
  struct iovec here = {text, sizeof text}, there = {secret, sizeof secret};
  int pidfd = (int)SYS(syscall(SYS_pidfd_open, child, 0));
  gate_wait(&up);
  if (geteuid() != 0 || under_beam()) {
    CHECK_ERRNO(syscall(SYS_pidfd_getfd, pidfd, 1, 0), EPERM);
    CHECK_ERRNO(process_vm_readv(child, &here, 1, &there, 1, 0), EPERM);
    CHECK_ERRNO(process_vm_writev(child, &here, 1, &there, 1, 0), EPERM);
    CHECK_ERRNO(syscall(SYS_kcmp, child, getpid(), KCMP_FILE, 1, 1), EPERM);
  }
  CHECK_ERRNO(syscall(SYS_pidfd_getfd, pidfd, 1, 1), EINVAL);
  gate_open(&down);
  gate_wait(&up);
  SYS(close((int)SYS(syscall(SYS_pidfd_getfd, pidfd, 1, 0))));
  CHECK_EQ(process_vm_readv(child, &here, 1, &there, 1, 0), sizeof text);
  CHECK_STR(text, secret);
  gate_open(&down);
  REAP(child);
}

int main(int argc, char** argv) {
  guest_begin();
  if (argc == 2) {
    CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
    return 0;
  }
  CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
  others();
  SYS(prctl(PR_SET_DUMPABLE, 0));
  CHECK_EQ(prctl(PR_GET_DUMPABLE), 0);
  CHECK_ERRNO(prctl(PR_SET_DUMPABLE, 2), EINVAL);
  CHECK_EQ(prctl(PR_GET_DUMPABLE), 0);
  // Everything goes on: ids, paths, children, signals.
  CHECK_EQ(getpid(), raw_getpid());
  write_file("file", "x", 0600);
  struct stat status;
  SYS(stat("file", &status));
  char text[16];
  CHECK_EQ(read_file("file", text, sizeof text), 1);
  pid_t child = guest_fork();
  if (child == 0) {
    CHECK_EQ(prctl(PR_GET_DUMPABLE), 0);
    execl("/proc/self/exe", argv[0], "executed", (char*)NULL);
    // The link may not be followed by a process that is not dumpable and not root.
    CHECK_EQ(errno, EACCES);
    execv(argv[0], (char*[]){argv[0], "executed", NULL});
    FAIL("exec: errno %d", errno);
  }
  REAP(child);
  child = guest_fork();
  if (child == 0) {
    for (;;) {
      pause();
    }
  }
  SYS(kill(child, SIGTERM));
  REAP_SIGNAL(child, SIGTERM);
  SYS(prctl(PR_SET_DUMPABLE, 1));
  CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
  return guest_pass();
}
