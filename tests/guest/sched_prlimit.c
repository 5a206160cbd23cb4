// prlimit by pid: a child's limits read and set from the parent; nobody's are refused.
#include <sys/resource.h>

#include "guest.h"

int main(void) {
  guest_begin();
  struct gate up = gate_make(), down = gate_make();
  struct rlimit mine, got, want;
  SYS(getrlimit(RLIMIT_NOFILE, &mine));
  pid_t child = guest_fork();
  if (child == 0) {
    gate_open(&up);
    gate_wait(&down);
    SYS(getrlimit(RLIMIT_NOFILE, &got));
    CHECK_EQ(got.rlim_cur, 64);
    _exit(0);
  }
  gate_wait(&up);
  SYS(prlimit(child, RLIMIT_NOFILE, NULL, &got));
  CHECK_EQ(got.rlim_cur, mine.rlim_cur);
  want = (struct rlimit){64, mine.rlim_max};
  SYS(prlimit(child, RLIMIT_NOFILE, &want, &got));
  CHECK_EQ(got.rlim_cur, mine.rlim_cur);
  SYS(prlimit(child, RLIMIT_NOFILE, NULL, &got));
  CHECK_EQ(got.rlim_cur, 64);
  SYS(prlimit(0, RLIMIT_NOFILE, NULL, &got));
  CHECK_EQ(got.rlim_cur, mine.rlim_cur);
  SYS(prlimit(getpid(), RLIMIT_NOFILE, NULL, &got));
  CHECK_EQ(got.rlim_cur, mine.rlim_cur);
  CHECK_ERRNO(prlimit(0x3fffffff, RLIMIT_NOFILE, NULL, &got), ESRCH);
  char path[64], text[4096];
  snprintf(path, sizeof path, "/proc/%d/limits", child);
  CHECK(read_file(path, text, sizeof text) > 0);
  CHECK(strstr(text, "Max open files            64 "));
  gate_open(&down);
  REAP(child);
  return guest_pass();
}
