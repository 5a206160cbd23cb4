// /proc/N/stat: pid, comm, state, ppid, pgrp, session, tty and thread count are the view's, for self, child, orphan
// and 1.
#include "guest.h"

static void* idle(void* argument) {
  gate_wait(argument);
  return NULL;
}

int main(void) {
  guest_begin();
  SYS(prctl(PR_SET_CHILD_SUBREAPER, 1));
  struct proc_stat stat;
  CHECK(read_stat("/proc/self/stat", &stat));
  CHECK_EQ(stat.pid, getpid());
  CHECK_EQ(stat.ppid, getppid());
  CHECK_EQ(stat.pgrp, getpgrp());
  CHECK_EQ(stat.session, getsid(0));
  CHECK_EQ(stat.threads, 1);
  CHECK_EQ(stat.state, 'R');

  struct gate up = gate_make(), down = gate_make(), leave = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    SYS(setsid());
    guest_thread(idle, &down);
    guest_thread(idle, &down);
    pid_t orphan = guest_fork();
    if (orphan == 0) {
      SYS(setpgid(0, 0));
      gate_send(&up, getpid());
      gate_wait(&down);
      _exit(0);
    }
    gate_wait(&leave);
    _exit(0);
  }
  pid_t orphan = (pid_t)gate_receive(&up);
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/stat", child);
  CHECK(read_stat(path, &stat));
  CHECK_EQ(stat.pid, child);
  CHECK_EQ(stat.ppid, getpid());
  CHECK_EQ(stat.pgrp, child);
  CHECK_EQ(stat.session, child);
  CHECK_EQ(stat.tty, 0);
  CHECK_EQ(stat.tpgid, -1);
  CHECK_EQ(stat.threads, 3);
  snprintf(path, sizeof path, "/proc/%d/stat", orphan);
  CHECK(read_stat(path, &stat));
  CHECK_EQ(stat.ppid, child);
  CHECK_EQ(stat.pgrp, orphan);
  CHECK_EQ(stat.session, child);
  gate_open(&leave);
  REAP(child);
  CHECK(read_stat(path, &stat));
  CHECK_EQ(stat.ppid, getpid());
  CHECK_EQ(stat.session, child);
  gate_open(&down);
  siginfo_t info;
  SYS(waitid(P_PID, (id_t)orphan, &info, WEXITED | WNOWAIT));
  CHECK(read_stat(path, &stat));
  CHECK_EQ(stat.state, 'Z');
  CHECK_EQ(stat.pid, orphan);
  REAP(orphan);
  CHECK(!read_stat(path, &stat));
  CHECK_EQ(errno, ENOENT);

  CHECK(read_stat("/proc/1/stat", &stat));
  CHECK_EQ(stat.pid, 1);
  if (under_beam()) {
    CHECK_EQ(stat.ppid, 0);
  }
  // The file opened and read in pieces is one consistent text.
  int fd = SYS(open("/proc/self/stat", O_RDONLY | O_CLOEXEC));
  char whole[4096], pieces[4096] = "";
  CHECK(read_file("/proc/self/stat", whole, sizeof whole) > 0);
  size_t used = 0;
  for (ssize_t got; (got = SYS(read(fd, pieces + used, 3))) > 0;) {
    used += (size_t)got;
  }
  CHECK_EQ(atoi(pieces), getpid());
  CHECK_EQ(pieces[used - 1], '\n');
  char byte;
  CHECK_EQ(pread(fd, &byte, 1, 0), 1);
  CHECK_EQ(byte, pieces[0]);
  close(fd);
  return guest_pass();
}
