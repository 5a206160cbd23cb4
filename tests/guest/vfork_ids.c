// vfork: the parent stands still until the child exits or execs, memory is shared, and the numbers are right.
#include "guest.h"

int main(int argc, char** argv) {
  guest_begin();
  if (argc == 3) {
    // Executed by the vfork child: the number that it saw before the exec is still its own.
    CHECK_EQ(getpid(), atoi(argv[1]));
    CHECK_EQ(getppid(), atoi(argv[2]));
    return 9;
  }
  volatile pid_t seen = 0, parent_seen = 0;
  pid_t self = getpid();
  pid_t child = SYS(vfork());
  if (child == 0) {
    seen = raw_getpid();
    parent_seen = (pid_t)syscall(SYS_getppid);
    _exit(4);
  }
  // The stores were made before vfork returned here.
  CHECK_EQ(seen, child);
  CHECK_EQ(parent_seen, self);
  REAP_CODE(child, 4);

  static char number[16], parent[16];
  snprintf(parent, sizeof parent, "%d", self);
  static char* arguments[] = {NULL, number, parent, NULL};
  arguments[0] = argv[0];
  child = SYS(vfork());
  if (child == 0) {
    snprintf(number, sizeof number, "%d", raw_getpid());
    execv("/proc/self/exe", arguments);
    _exit(127);
  }
  CHECK_EQ(atoi(number), child);
  REAP_CODE(child, 9);

  // An exec that fails leaves the child running in the parent's memory.
  volatile int error = 0;
  child = SYS(vfork());
  if (child == 0) {
    execl("/nonexistent", "nonexistent", (char*)NULL);
    error = errno;
    _exit(5);
  }
  CHECK_EQ(error, ENOENT);
  REAP_CODE(child, 5);

  // vfork within vfork.
  volatile pid_t inner = 0;
  child = SYS(vfork());
  if (child == 0) {
    pid_t grandchild = vfork();
    if (grandchild == 0) {
      inner = raw_getpid();
      _exit(0);
    }
    int status;
    _exit(inner == grandchild && waitpid(grandchild, &status, 0) == grandchild ? 0 : 1);
  }
  REAP(child);
  CHECK_NE(inner, child);
  return guest_pass();
}
