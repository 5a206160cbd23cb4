// kill's targets: a pid, 0 (own group), -pgrp, -1; each reaches exactly those it names.
#include "guest.h"

// A standard signal that is ignored by default: harmless where it goes astray.
enum { kSignal = SIGURG };
static struct gate report;

static void handler(int signal, siginfo_t* info, void* context) {
  (void)signal;
  (void)info;
  (void)context;
  gate_send(&report, raw_getpid());
}

static pid_t member(pid_t group) {
  struct gate ready = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    SYS(setpgid(0, group));
    guest_handle(kSignal, handler, SA_RESTART);
    gate_open(&ready);
    for (;;) {
      pause();
    }
  }
  gate_wait(&ready);
  gate_close(&ready);
  return child;
}

// Each of these pids reports once, in any order.
static void expect(const pid_t* pids, int count) {
  bool seen[8] = {false};
  for (int i = 0; i < count; ++i) {
    pid_t pid = (pid_t)gate_receive(&report);
    int index = 0;
    while (index < count && pids[index] != pid) {
      ++index;
    }
    CHECK(index < count);
    CHECK(!seen[index]);
    seen[index] = true;
  }
}

int main(void) {
  guest_begin();
  report = gate_make();
  pid_t main_child = guest_fork();
  if (main_child == 0) {
    SYS(setpgid(0, 0));
    pid_t alone = member(0);
    pid_t first = member(0);
    pid_t second = member(first);
    pid_t mine = member(getpgrp());
    guest_handle(kSignal, handler, SA_RESTART);

    SYS(kill(alone, kSignal));
    expect((pid_t[]){alone}, 1);
    SYS(kill(-first, kSignal));
    expect((pid_t[]){first, second}, 2);
    SYS(kill(0, kSignal));
    expect((pid_t[]){getpid(), mine}, 2);
    // The group outlives its leader.
    SYS(kill(first, SIGKILL));
    REAP_SIGNAL(first, SIGKILL);
    SYS(kill(-first, kSignal));
    expect((pid_t[]){second}, 1);
    SYS(kill(second, SIGKILL));
    REAP_SIGNAL(second, SIGKILL);
    CHECK_ERRNO(kill(-first, 0), ESRCH);
    // -1: all but the caller and pid 1. On a whole machine only the signal that does nothing may be tried.
    SYS(kill(-1, 0));
    if (under_beam()) {
      signal(kSignal, SIG_IGN);
      SYS(kill(-1, kSignal));
      expect((pid_t[]){alone, mine}, 2);
    }
    SYS(kill(alone, SIGKILL));
    SYS(kill(mine, SIGKILL));
    REAP_SIGNAL(alone, SIGKILL);
    REAP_SIGNAL(mine, SIGKILL);
    struct pollfd poll_fd = {.fd = report.fd[0], .events = POLLIN};
    CHECK_EQ(poll(&poll_fd, 1, 0), 0);
    _exit(0);
  }
  REAP(main_child);
  return guest_pass();
}
