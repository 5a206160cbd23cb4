// wait4 and waitid with rusage: the child's, not the caller's; getrusage(RUSAGE_CHILDREN) adds up what was reaped.
#include <sys/mman.h>
#include <sys/resource.h>

#include "guest.h"

static pid_t busy(void) {
  pid_t child = guest_fork();
  if (child == 0) {
    // 32 MiB touched, and 20 ms of its own processor time.
    char* memory = SYS(mmap(NULL, 32 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    memset(memory, 1, 32 << 20);
    struct timespec now;
    do {
      clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    } while (now.tv_sec == 0 && now.tv_nsec < 20000000);
    _exit(0);
  }
  return child;
}

static long micros(const struct rusage* usage) {
  return (usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000000 + usage->ru_utime.tv_usec +
         usage->ru_stime.tv_usec;
}

int main(void) {
  guest_begin();
  struct rusage usage = {0}, children = {0};
  pid_t child = busy();
  int status;
  CHECK_EQ(wait4(child, &status, 0, &usage), child);
  CHECK_EQ(status, 0);
  CHECK(usage.ru_maxrss > 32 * 1024);
  CHECK(micros(&usage) >= 15000);
  SYS(getrusage(RUSAGE_CHILDREN, &children));
  CHECK(micros(&children) >= 15000);
  CHECK(children.ru_maxrss > 32 * 1024);

  child = busy();
  siginfo_t info = {0};
  memset(&usage, 0, sizeof usage);
  SYS(syscall(SYS_waitid, P_PID, child, &info, WEXITED, &usage));
  CHECK_EQ(info.si_pid, child);
  CHECK(usage.ru_maxrss > 32 * 1024);
  CHECK(micros(&usage) >= 15000);
  return guest_pass();
}
