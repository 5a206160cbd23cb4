// PR_SET_DUMPABLE: what is set is read back, inherited by fork, reset by exec; a process that is not dumpable still
// works.
#include "guest.h"

int main(int argc, char** argv) {
  guest_begin();
  if (argc == 2) {
    CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
    return 0;
  }
  CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
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
