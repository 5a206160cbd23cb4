// Hundreds of posix_spawn from several threads at once: vfork-like clones, execs and waits side by side.
#include <spawn.h>

#include "guest.h"

enum { kThreads = 4, kSpawns = 60 };
extern char** environ;

static void* run(void* unused) {
  (void)unused;
  for (int i = 0; i < kSpawns; ++i) {
    pid_t child;
    char* good[] = {"sh", "-c", "exit 17", NULL};
    if (i % 10 == 9) {
      char* bad[] = {"nothing", NULL};
      int error = posix_spawn(&child, "/nonexistent/nothing", NULL, NULL, bad, environ);
      CHECK_EQ(error, ENOENT);
      continue;
    }
    PTHREAD(posix_spawn(&child, "/bin/sh", NULL, NULL, good, environ));
    REAP_CODE(child, 17);
  }
  return NULL;
}

int main(void) {
  guest_begin();
  pthread_t threads[kThreads];
  for (int i = 0; i < kThreads; ++i) {
    threads[i] = guest_thread(run, NULL);
  }
  for (int i = 0; i < kThreads; ++i) {
    guest_join(threads[i]);
  }
  CHECK_ERRNO(waitpid(-1, NULL, 0), ECHILD);
  return guest_pass();
}
