// Each thread waits for its own child by pid while the others do the same and main waits for one more by waitid.
#include "guest.h"

enum { kThreads = 8, kRounds = 25 };

static void* run(void* argument) {
  int index = (int)(intptr_t)argument;
  for (int i = 0; i < kRounds; ++i) {
    pid_t child = guest_fork();
    if (child == 0) {
      _exit(index * kRounds + i);
    }
    if (index % 2) {
      REAP_CODE(child, index * kRounds + i);
    } else {
      siginfo_t info = {0};
      SYS(waitid(P_PID, (id_t)child, &info, WEXITED));
      CHECK_EQ(info.si_pid, child);
      CHECK_EQ(info.si_status, index * kRounds + i);
    }
  }
  return NULL;
}

int main(void) {
  guest_begin();
  pthread_t threads[kThreads];
  for (intptr_t i = 0; i < kThreads; ++i) {
    threads[i] = guest_thread(run, (void*)i);
  }
  run((void*)(intptr_t)kThreads);
  for (int i = 0; i < kThreads; ++i) {
    guest_join(threads[i]);
  }
  CHECK_ERRNO(waitpid(-1, NULL, 0), ECHILD);
  return guest_pass();
}
