// exec from a thread that is not the leader: the new image has the leader's pid as its tid, and the other threads are
// gone.
#include <dirent.h>

#include "guest.h"

static char** arguments;
static struct gate ready;

static void* sleeper(void* unused) {
  gate_open(&ready);
  for (;;) {
    pause();
  }
  return unused;
}

static void* executor(void* unused) {
  for (int i = 0; i < 5; ++i) {
    gate_wait(&ready);
  }
  char pid[16], tid[16];
  snprintf(pid, sizeof pid, "%d", getpid());
  snprintf(tid, sizeof tid, "%d", raw_gettid());
  execl("/proc/self/exe", arguments[0], pid, tid, (char*)NULL);
  FAIL("exec: errno %d", errno);
  return unused;
}

int main(int argc, char** argv) {
  guest_begin();
  if (argc == 3) {
    CHECK_EQ(getpid(), atoi(argv[1]));
    CHECK_EQ(raw_gettid(), getpid());
    CHECK_NE(atoi(argv[2]), getpid());
    DIR* directory = opendir("/proc/self/task");
    int count = 0;
    for (struct dirent* entry; (entry = readdir(directory));) {
      if (entry->d_name[0] != '.') {
        CHECK_EQ(atoi(entry->d_name), getpid());
        ++count;
      }
    }
    CHECK_EQ(count, 1);
    // The old tid is nobody's now.
    CHECK_ERRNO(syscall(SYS_tgkill, getpid(), atoi(argv[2]), 0), ESRCH);
    // A child of the new image is still a child of the same process.
    pid_t child = guest_fork();
    if (child == 0) {
      _exit(getppid() == atoi(argv[1]) ? 0 : 1);
    }
    REAP(child);
    return 44;
  }
  arguments = argv;
  for (int round = 0; round < 20; ++round) {
    pid_t child = guest_fork();
    if (child == 0) {
      ready = gate_make();
      for (int i = 0; i < 5; ++i) {
        guest_thread(sleeper, NULL);
      }
      guest_thread(executor, NULL);
      for (;;) {
        pause();
      }
    }
    REAP_CODE(child, 44);
  }
  return guest_pass();
}
