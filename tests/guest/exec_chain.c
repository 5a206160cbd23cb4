// A hundred execs in one process, each from a thread while others come and go: the pid never changes, nothing is lost.
#include "guest.h"

enum { kExecs = 100 };
static char **arguments, next[16], pid_text[16];

static void* brief(void* unused) {
  return unused;
}

static void* restless(void* unused) {
  (void)unused;
  for (;;) {
    pthread_t thread;
    // The exec of a sibling may end this thread, or make this fail, at any point.
    if (pthread_create(&thread, NULL, brief, NULL) == 0) {
      pthread_join(thread, NULL);
    }
  }
  return NULL;
}

static void* executor(void* unused) {
  execl("/proc/self/exe", arguments[0], next, pid_text, (char*)NULL);
  FAIL("exec: errno %d", errno);
  return unused;
}

int main(int argc, char** argv) {
  guest_begin();
  int done = argc > 1 ? atoi(argv[1]) : 0;
  if (argc > 2) {
    CHECK_EQ(getpid(), atoi(argv[2]));
    CHECK_EQ(raw_gettid(), atoi(argv[2]));
  }
  if (done == kExecs) {
    return guest_pass();
  }
  arguments = argv;
  snprintf(next, sizeof next, "%d", done + 1);
  snprintf(pid_text, sizeof pid_text, "%d", getpid());
  if (done % 4 == 0) {
    executor(NULL);
  }
  guest_thread(restless, NULL);
  guest_thread(restless, NULL);
  guest_join(guest_thread(executor, NULL));
  return 1;
}
