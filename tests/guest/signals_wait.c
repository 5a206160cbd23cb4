// A 1 kHz timer with SA_RESTART and a parent that blocks in each form of wait: it is restarted until the child ends.
#include "storm.h"

int main(void) {
  guest_begin();
  struct gate down = gate_make();
  for (int way = 0; way < 5; ++way) {
    storm_ticks = 0;
    timer_t timer = storm_begin(SA_RESTART);
    pid_t child = guest_fork();
    if (child == 0) {
      gate_wait(&down);
      _exit(way);
    }
    // A helper lets the child go only after the parent has been interrupted many times in its wait.
    pid_t parent = getpid();
    pid_t helper = guest_fork();
    if (helper == 0) {
      for (int i = 0; i < 150; ++i) {
        wait_state(parent, parent, "S");
        union sigval value = {.sival_int = i};
        while (sigqueue(parent, SIGRTMIN, value) != 0) {
          CHECK_EQ(errno, EAGAIN);
        }
      }
      gate_open(&down);
      _exit(0);
    }
    int status = -1;
    siginfo_t info = {0};
    switch (way) {
      case 0:
        CHECK_EQ(waitpid(child, &status, 0), child);
        break;
      case 1: {
        pid_t first = waitpid(-1, &status, 0);
        if (first == helper) {
          CHECK_EQ(status, 0);
          first = waitpid(-1, &status, 0);
          helper = 0;
        }
        CHECK_EQ(first, child);
        break;
      }
      case 2:
        SYS(waitid(P_PID, (id_t)child, &info, WEXITED));
        CHECK_EQ(info.si_pid, child);
        status = info.si_status << 8;
        break;
      case 3:
        CHECK_EQ(wait4(child, &status, __WALL, NULL), child);
        break;
      default: {
        int pidfd = (int)SYS(syscall(SYS_pidfd_open, child, 0));
        SYS(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED));
        CHECK_EQ(info.si_pid, child);
        status = info.si_status << 8;
        close(pidfd);
        break;
      }
    }
    CHECK_EQ(status, way << 8);
    if (helper) {
      REAP(helper);
    }
    storm_end(timer);
  }
  return guest_pass();
}
