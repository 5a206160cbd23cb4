// A zombie leader and an exec by the thread that lives: the new image takes the leader's pid and is waited for as ever.
#include "guest.h"

static char* self;

static void* survivor(void* unused) {
  wait_state(raw_getpid(), raw_getpid(), "Z");
  char pid[16];
  snprintf(pid, sizeof pid, "%d", raw_getpid());
  // Not /proc/self/exe: the leader has no memory any more, so the kernel can't tell its executable.
  execl(self, self, pid, (char*)NULL);
  FAIL("exec: errno %d", errno);
  return unused;
}

int main(int argc, char** argv) {
  guest_begin();
  if (argc == 2) {
    CHECK_EQ(getpid(), atoi(argv[1]));
    CHECK_EQ(raw_gettid(), getpid());
    CHECK_EQ(status_field("/proc/self/status", "Threads"), 1);
    return 71;
  }
  char path[PATH_MAX] = "";
  SYS(readlink("/proc/self/exe", path, sizeof path - 1));
  self = path;
  for (int round = 0; round < 20; ++round) {
    pid_t child = guest_fork();
    if (child == 0) {
      guest_thread(survivor, NULL);
      pthread_exit(NULL);
    }
    REAP_CODE(child, 71);
  }
  return guest_pass();
}
