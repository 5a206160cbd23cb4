// An executable that its user may run but not read (mode 0111) runs, and its children, threads and signals work.
#include "guest.h"

static void* run(void* argument) {
  *(pid_t*)argument = raw_gettid();
  return NULL;
}

int main(int argc, char** argv) {
  guest_begin();
  if (argc == 2) {
    CHECK_EQ(getpid(), atoi(argv[1]));
    CHECK_EQ(raw_gettid(), getpid());
    pid_t tid = 0;
    guest_join(guest_thread(run, &tid));
    CHECK(tid > 0 && tid != getpid());
    pid_t child = guest_fork();
    if (child == 0) {
      pause();
      _exit(1);
    }
    SYS(kill(child, SIGTERM));
    REAP_SIGNAL(child, SIGTERM);
    child = guest_fork();
    if (child == 0) {
      execl("/bin/sh", "sh", "-c", "exit 93", (char*)NULL);
      _exit(1);
    }
    REAP_CODE(child, 93);
    return 91;
  }
  copy_file("/proc/self/exe", "program", 0111);
  pid_t child = guest_fork();
  if (child == 0) {
    char pid[16];
    snprintf(pid, sizeof pid, "%d", getpid());
    execl("./program", argv[0], pid, (char*)NULL);
    FAIL("exec: errno %d", errno);
  }
  REAP_CODE(child, 91);
  // A program of somebody else's that nobody may read: sudo's helpers and the like. Root natively reads everything.
  child = guest_fork();
  if (child == 0) {
    copy_file("/bin/true", "true", 0111);
    execl("./true", "true", (char*)NULL);
    _exit(127);
  }
  REAP(child);
  return guest_pass();
}
