// Listing and reading all of /proc while processes come and go: no entry of another's, no failure but ENOENT and ESRCH.
#include <dirent.h>

#include "guest.h"

int main(void) {
  guest_begin();
  struct gate stop = gate_make();
  pid_t makers[2];
  for (int i = 0; i < 2; ++i) {
    makers[i] = guest_fork();
    if (makers[i] == 0) {
      struct pollfd poll_fd = {.fd = stop.fd[0], .events = POLLIN};
      while (poll(&poll_fd, 1, 0) == 0) {
        pid_t child = guest_fork();
        if (child == 0) {
          _exit(0);
        }
        REAP(child);
      }
      _exit(0);
    }
  }
  int met = 0;
  for (int round = 0; round < 60; ++round) {
    DIR* directory = opendir("/proc");
    CHECK(directory);
    bool self = false;
    for (struct dirent* entry; (entry = readdir(directory));) {
      int pid = atoi(entry->d_name);
      if (pid <= 0) {
        continue;
      }
      self |= pid == getpid();
      char path[64];
      struct proc_stat stat;
      snprintf(path, sizeof path, "/proc/%d/stat", pid);
      if (read_stat(path, &stat)) {
        CHECK_EQ(stat.pid, pid);
        met += stat.ppid == makers[0] || stat.ppid == makers[1];
      } else {
        CHECK(errno == ENOENT || errno == ESRCH);
      }
    }
    closedir(directory);
    CHECK(self);
  }
  (void)met;
  gate_open(&stop);
  REAP(makers[0]);
  REAP(makers[1]);
  return guest_pass();
}
