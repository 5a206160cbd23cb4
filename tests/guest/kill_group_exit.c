// exit_group while threads block in all sorts of interposed calls: the status is the one that was given.
#include "guest.h"

static struct gate ready;

static void* blocked(void* argument) {
  gate_open(&ready);
  switch ((intptr_t)argument % 4) {
    case 0:
      wait(NULL);
      break;
    case 1:
      open("fifo", O_RDONLY);
      break;
    case 2:
      pause();
      break;
    default:
      for (;;) {
        getppid();
      }
  }
  return NULL;
}

int main(void) {
  guest_begin();
  SYS(prctl(PR_SET_CHILD_SUBREAPER, 1));
  SYS(mkfifo("fifo", 0600));
  for (int round = 0; round < 25; ++round) {
    pid_t child = guest_fork();
    if (child == 0) {
      ready = gate_make();
      struct gate child_ready = gate_make();
      if (guest_fork() == 0) {
        gate_open(&child_ready);
        prctl(PR_SET_PDEATHSIG, 0);
        pause();
        _exit(0);
      }
      gate_wait(&child_ready);
      for (intptr_t i = 0; i < 8; ++i) {
        guest_thread(blocked, (void*)i);
      }
      for (int i = 0; i < 8; ++i) {
        gate_wait(&ready);
      }
      _exit(round);
    }
    REAP_CODE(child, round);
    // The child's child is ours now; its pid is known to wait only.
    siginfo_t info = {0};
    CHECK_ERRNO(waitid(P_PID, (id_t)child, &info, WEXITED), ECHILD);
    char path[64], text[256];
    snprintf(path, sizeof path, "/proc/self/task/%d/children", getpid());
    CHECK(read_file(path, text, sizeof text) > 0);
    pid_t orphan = atoi(text);
    SYS(kill(orphan, SIGKILL));
    REAP_SIGNAL(orphan, SIGKILL);
  }
  return guest_pass();
}
