// Paths into /proc by every way: after chdir, by dirfd of /proc and of /proc/N, with dots, slashes and links on the
// way.
#include "guest.h"

static void expect_pid(int dir, const char* path, pid_t pid) {
  int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    FAIL("openat(%s): errno %d (%s)", path, errno, strerror(errno));
  }
  char text[1024];
  CHECK(read_fd(fd, text, sizeof text) > 0);
  if (atoi(text) != pid) {
    FAIL("%s: got pid %d, expected %d", path, atoi(text), pid);
  }
  close(fd);
}

int main(void) {
  guest_begin();
  char home[PATH_MAX - 64];
  CHECK(getcwd(home, sizeof home));
  struct gate down = gate_make();
  pid_t child = guest_fork(), self = getpid();
  if (child == 0) {
    gate_wait(&down);
    _exit(0);
  }
  char own[64], others[64], path[PATH_MAX];
  snprintf(own, sizeof own, "%d/stat", self);
  snprintf(others, sizeof others, "%d/stat", child);
  SYS(symlink("/proc", "proc"));
  SYS(symlink("/proc/self", "me"));
  snprintf(path, sizeof path, "/proc/%d", child);
  SYS(symlink(path, "child"));

  expect_pid(AT_FDCWD, "me/stat", self);
  expect_pid(AT_FDCWD, "child/stat", child);
  snprintf(path, sizeof path, "proc/%s", others);
  expect_pid(AT_FDCWD, path, child);
  snprintf(path, sizeof path, "proc/../proc/./self//../%s", others);
  expect_pid(AT_FDCWD, path, child);
  snprintf(path, sizeof path, "%s/me/stat", home);
  expect_pid(AT_FDCWD, path, self);
  snprintf(path, sizeof path, "/proc//%s", others);
  expect_pid(AT_FDCWD, path, child);

  SYS(chdir("/proc"));
  expect_pid(AT_FDCWD, "self/stat", self);
  expect_pid(AT_FDCWD, "thread-self/stat", self);
  expect_pid(AT_FDCWD, own, self);
  expect_pid(AT_FDCWD, others, child);
  expect_pid(AT_FDCWD, "1/stat", 1);
  CHECK(getcwd(path, sizeof path));
  CHECK_STR(path, "/proc");
  SYS(chdir("self"));
  expect_pid(AT_FDCWD, "stat", self);
  CHECK(getcwd(path, sizeof path));
  char expected[64];
  snprintf(expected, sizeof expected, "/proc/%d", self);
  CHECK_STR(path, expected);
  snprintf(path, sizeof path, "../%s", others);
  expect_pid(AT_FDCWD, path, child);
  SYS(chdir("task"));
  snprintf(path, sizeof path, "%d/stat", self);
  expect_pid(AT_FDCWD, path, self);
  expect_pid(AT_FDCWD, "../../self/stat", self);

  int proc = SYS(open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  int handle = SYS(open("/proc", O_PATH | O_CLOEXEC));
  expect_pid(proc, "self/stat", self);
  expect_pid(handle, others, child);
  expect_pid(proc, "./1/stat", 1);
  snprintf(path, sizeof path, "%d", child);
  int directory = SYS(openat(proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  expect_pid(directory, "stat", child);
  expect_pid(directory, "../self/stat", self);
  snprintf(path, sizeof path, "task/%d/stat", child);
  expect_pid(directory, path, child);
  // A directory's descriptor tells its virtual path.
  char link[64], target[64] = "";
  snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
  SYS(readlink(link, target, sizeof target - 1));
  snprintf(expected, sizeof expected, "/proc/%d", child);
  CHECK_STR(target, expected);
  SYS(fchdir(directory));
  expect_pid(AT_FDCWD, "stat", child);
  CHECK(getcwd(path, sizeof path));
  CHECK_STR(path, expected);
  CHECK(realpath("/proc/self/task/..", path));
  snprintf(expected, sizeof expected, "/proc/%d", self);
  CHECK_STR(path, expected);

  gate_open(&down);
  REAP(child);
  // The process is gone: its directory is an empty shell, and its number is nobody's.
  CHECK_ERRNO(openat(proc, others, O_RDONLY), ENOENT);
  CHECK_ERRNO(openat(directory, "stat", O_RDONLY), ESRCH);
  SYS(chdir(home));
  CHECK_ERRNO(open("child/stat", O_RDONLY), ENOENT);
  return guest_pass();
}
