// An executable in a memfd: fexecve, and through /proc/self/fd.
#include <sys/mman.h>

#include "guest.h"

int main(int argc, char** argv) {
  guest_begin();
  extern char** environ;
  if (argc == 2) {
    char link[PATH_MAX] = "";
    SYS(readlink("/proc/self/exe", link, sizeof link - 1));
    CHECK_STR(link, "/memfd:program (deleted)");
    CHECK_EQ(getpid(), atoi(argv[1]));
    return 81;
  }
  int fd = SYS(memfd_create("program", 0));
  int self = SYS(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  char buffer[65536];
  for (ssize_t got; (got = SYS(read(self, buffer, sizeof buffer))) > 0;) {
    CHECK_EQ(write(fd, buffer, (size_t)got), got);
  }
  for (int way = 0; way < 2; ++way) {
    pid_t child = guest_fork();
    if (child == 0) {
      char pid[16], path[64];
      snprintf(pid, sizeof pid, "%d", getpid());
      snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
      char* arguments[] = {argv[0], pid, NULL};
      if (way == 0) {
        fexecve(fd, arguments, environ);
      } else {
        execv(path, arguments);
      }
      FAIL("exec of a memfd: errno %d", errno);
    }
    REAP_CODE(child, 81);
  }
  return guest_pass();
}
