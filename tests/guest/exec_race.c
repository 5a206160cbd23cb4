// Many threads exec at the same instant: exactly one image comes out of it, with the right pid and one thread.
#include "guest.h"

enum { kThreads = 8, kRounds = 20 };
static char** arguments;
static pthread_barrier_t barrier;

static void* run(void* argument) {
  char pid[16], index[16];
  snprintf(pid, sizeof pid, "%d", getpid());
  snprintf(index, sizeof index, "%d", (int)(intptr_t)argument);
  pthread_barrier_wait(&barrier);
  execl("/proc/self/exe", arguments[0], pid, index, (char*)NULL);
  FAIL("exec: errno %d", errno);
  return NULL;
}

int main(int argc, char** argv) {
  guest_begin();
  if (argc == 3) {
    CHECK_EQ(getpid(), atoi(argv[1]));
    CHECK_EQ(raw_gettid(), atoi(argv[1]));
    CHECK_EQ(status_field("/proc/self/status", "Threads"), 1);
    return 50 + atoi(argv[2]);
  }
  arguments = argv;
  for (int round = 0; round < kRounds; ++round) {
    pid_t child = guest_fork();
    if (child == 0) {
      pthread_barrier_init(&barrier, NULL, kThreads);
      // The leader is one of those who exec.
      for (intptr_t i = 1; i < kThreads; ++i) {
        guest_thread(run, (void*)i);
      }
      run((void*)0);
    }
    int status = guest_status(child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) >= 50 && WEXITSTATUS(status) < 50 + kThreads);
  }
  return guest_pass();
}
