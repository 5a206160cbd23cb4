// Devices and files that the kernel makes up, across a freeze: of /dev, of one's own and another process's /proc, of
// /sys.
#include <sys/mman.h>
#include <sys/sysmacros.h>

#include "guest.h"

int main(void) {
  guest_begin();
  static const char* const devices[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"};
  int fds[5];
  for (int i = 0; i < 5; ++i) {
    fds[i] = SYS(open(devices[i], i == 0 ? O_WRONLY | O_APPEND : O_RDWR | O_NONBLOCK));
  }
  int shared = SYS(open("/dev/shm", O_RDWR | O_TMPFILE, 0600));
  CHECK_EQ(write(shared, "shm", 3), 3);
  pid_t child = guest_fork();
  if (child == 0) {
    for (;;) {
      pause();
    }
  }
  char path[64], text[4096];
  int maps = SYS(open("/proc/self/maps", O_RDONLY));
  snprintf(path, sizeof path, "/proc/%d/status", (int)child);
  int status = SYS(open(path, O_RDONLY));
  int memory = SYS(open("/proc/self/mem", O_RDWR));
  int meminfo = SYS(open("/proc/meminfo", O_RDONLY));
  int load = SYS(open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY));
  int proc = SYS(open("/proc/self/task", O_RDONLY | O_DIRECTORY));
  snprintf(path, sizeof path, "/proc/%d/fd", (int)child);
  int fd_list = SYS(open(path, O_RDONLY | O_DIRECTORY));
  SYS(chdir("/proc/self/fdinfo"));
  pid_t dead = guest_fork();
  if (dead == 0) {
    pause();
  }
  snprintf(path, sizeof path, "/proc/%d/environ", (int)dead);
  int dead_environment = SYS(open(path, O_RDONLY));
  kill(dead, SIGKILL);
  REAP_SIGNAL(dead, SIGKILL);
  guest_fence();
  CHECK(read(dead_environment, text, sizeof text) <= 0);
  CHECK(access("0", F_OK) == 0);
  CHECK(faccessat(fd_list, "0", F_OK, 0) == 0);
  snprintf(path, sizeof path, "%d", (int)getpid());
  CHECK(faccessat(proc, path, F_OK, 0) == 0);
  for (int i = 0; i < 5; ++i) {
    struct stat info, same;
    SYS(fstat(fds[i], &info));
    SYS(stat(devices[i], &same));
    CHECK_EQ(info.st_rdev, same.st_rdev);
  }
  CHECK((fcntl(fds[0], F_GETFL) & (O_ACCMODE | O_APPEND)) == (O_WRONLY | O_APPEND));
  CHECK_EQ(read(fds[1], text, 8), 8);
  CHECK_ERRNO(write(fds[2], "x", 1), ENOSPC);
  CHECK_EQ(read(fds[4], text, 8), 8);
  CHECK_EQ(pread(shared, text, 8, 0), 3);
  CHECK(memcmp(text, "shm", 3) == 0);
  CHECK(read_fd(maps, text, sizeof text) > 0);
  CHECK(read_fd(status, text, sizeof text) > 0);
  CHECK_EQ(field_of(text, "Pid"), child);
  CHECK(read_fd(meminfo, text, sizeof text) > 0);
  CHECK(read_fd(load, text, sizeof text) > 0);
  long value = 12345, copy = 0;
  CHECK_EQ(pread(memory, &copy, sizeof copy, (off_t)(uintptr_t)&value), sizeof copy);
  CHECK_EQ(copy, value);
  kill(child, SIGKILL);
  REAP_SIGNAL(child, SIGKILL);
  return guest_pass();
}
