// Process groups and sessions: set and asked from both sides, by pid and 0, agreeing with /proc and ps's view of it.
#include "guest.h"

int main(void) {
  guest_begin();
  CHECK_EQ(getpgrp(), getpgid(0));
  CHECK_EQ(getpgid(getpid()), getpgrp());
  CHECK_EQ(getsid(getpid()), getsid(0));
  CHECK_EQ(syscall(SYS_getpgrp), getpgrp());
  struct gate up = gate_make(), down = gate_make();
  pid_t children[3];
  for (int i = 0; i < 3; ++i) {
    children[i] = guest_fork();
    if (children[i] == 0) {
      gate_wait(&down);
      gate_send(&up, getpgrp());
      gate_wait(&down);
      if (i == 2) {
        CHECK_EQ(setsid(), getpid());
        CHECK_EQ(getsid(0), getpid());
        CHECK_EQ(getpgrp(), getpid());
      }
      _exit(0);
    }
    CHECK_EQ(getpgid(children[i]), getpgrp());
    CHECK_EQ(getsid(children[i]), getsid(0));
    // The first leads a group, the second joins it, the third stays.
    if (i < 2) {
      SYS(setpgid(children[i], children[0]));
      CHECK_EQ(getpgid(children[i]), children[0]);
    }
    char path[64];
    struct proc_stat stat;
    snprintf(path, sizeof path, "/proc/%d/stat", children[i]);
    CHECK(read_stat(path, &stat));
    CHECK_EQ(stat.pgrp, i < 2 ? children[0] : getpgrp());
    CHECK_EQ(stat.session, getsid(0));
    CHECK_EQ(stat.ppid, getpid());
    gate_open(&down);
    CHECK_EQ(gate_receive(&up), i < 2 ? children[0] : getpgrp());
    gate_open(&down);
    // The group stays for as long as its leader is not reaped; but it has to be through the gate before the next one
    // waits there.
    if (i == 0) {
      siginfo_t ended;
      SYS(waitid(P_PID, (id_t)children[0], &ended, WEXITED | WNOWAIT));
    } else {
      REAP(children[i]);
    }
  }
  REAP(children[0]);

  pid_t leader = guest_fork();
  if (leader == 0) {
    pid_t sid = SYS(setsid());
    CHECK_EQ(sid, getpid());
    struct proc_stat stat;
    CHECK(read_stat("/proc/self/stat", &stat));
    CHECK_EQ(stat.session, sid);
    CHECK_EQ(stat.pgrp, sid);
    pid_t child = guest_fork();
    if (child == 0) {
      CHECK_EQ(getsid(0), sid);
      CHECK_EQ(getsid(sid), sid);
      CHECK_EQ(getpgid(sid), sid);
      SYS(setpgid(0, 0));
      CHECK_EQ(getpgrp(), getpid());
      CHECK_EQ(getsid(0), sid);
      SYS(setpgid(0, sid));
      CHECK_EQ(getpgrp(), sid);
      _exit(0);
    }
    REAP(child);
    _exit(0);
  }
  REAP(leader);
  return guest_pass();
}
