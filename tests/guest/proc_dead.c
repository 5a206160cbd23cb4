// Files and directories of a process that has ended: what is open fails with ESRCH, lookups by number with ENOENT,
// nothing shows another.
#include <dirent.h>

#include "guest.h"

int main(void) {
  guest_begin();
  for (int round = 0; round < 20; ++round) {
    struct gate down = gate_make();
    pid_t child = guest_fork();
    if (child == 0) {
      gate_wait(&down);
      _exit(0);
    }
    char path[64], text[4096];
    snprintf(path, sizeof path, "/proc/%d/stat", child);
    int stat = SYS(open(path, O_RDONLY | O_CLOEXEC));
    snprintf(path, sizeof path, "/proc/%d/status", child);
    int status = SYS(open(path, O_RDONLY | O_CLOEXEC));
    snprintf(path, sizeof path, "/proc/%d/task", child);
    DIR* tasks = opendir(path);
    CHECK(tasks);
    snprintf(path, sizeof path, "/proc/%d", child);
    int directory = SYS(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    CHECK(read_fd(stat, text, sizeof text) > 0);
    SYS(lseek(stat, 0, SEEK_SET));
    gate_open(&down);
    siginfo_t info;
    SYS(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT));
    // A zombie still has them.
    CHECK(read_fd(stat, text, sizeof text) > 0);
    SYS(lseek(stat, 0, SEEK_SET));
    REAP(child);
    CHECK_ERRNO(read(stat, text, sizeof text), ESRCH);
    CHECK_ERRNO(read(status, text, sizeof text), ESRCH);
    CHECK_ERRNO(openat(directory, "stat", O_RDONLY), ESRCH);
    CHECK_ERRNO(open(path, O_RDONLY), ENOENT);
    for (struct dirent* entry; (entry = readdir(tasks));) {
      CHECK_EQ(entry->d_name[0], '.');
    }
    closedir(tasks);
    close(stat);
    close(status);
    close(directory);
    gate_close(&down);
  }
  return guest_pass();
}
