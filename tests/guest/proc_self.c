// /proc/self and /proc/thread-self mean whoever asks: in children, threads, through descriptors, by stat and
// readlinkat.
#include "guest.h"

static void check(pid_t pid, pid_t tid) {
  char link[128] = "", expected[128];
  SYS(readlink("/proc/self", link, sizeof link - 1));
  CHECK_EQ(atoi(link), pid);
  CHECK_EQ(status_field("/proc/self/status", "Pid"), pid);
  CHECK_EQ(status_field("/proc/thread-self/status", "Pid"), tid);
  CHECK_EQ(status_field("/proc/thread-self/status", "Tgid"), pid);
  memset(link, 0, sizeof link);
  SYS(readlink("/proc/thread-self", link, sizeof link - 1));
  snprintf(expected, sizeof expected, "%d/task/%d", pid, tid);
  CHECK_STR(link, expected);
  struct stat by_self, by_number;
  char path[64];
  snprintf(path, sizeof path, "/proc/%d", pid);
  SYS(stat("/proc/self/", &by_self));
  SYS(stat(path, &by_number));
  CHECK_EQ(by_self.st_ino, by_number.st_ino);
  SYS(lstat("/proc/self", &by_self));
  CHECK(S_ISLNK(by_self.st_mode));
  // The descriptors of whoever asks.
  int fd = SYS(open("/dev/null", O_RDONLY | O_CLOEXEC));
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  memset(link, 0, sizeof link);
  SYS(readlink(path, link, sizeof link - 1));
  CHECK_STR(link, "/dev/null");
  snprintf(path, sizeof path, "/dev/fd/%d", fd);
  int again = SYS(open(path, O_RDONLY | O_CLOEXEC));
  close(again);
  close(fd);
}

static void* run(void* unused) {
  check(guest_top, raw_gettid());
  return unused;
}

int main(void) {
  guest_begin();
  check(getpid(), getpid());
  guest_join(guest_thread(run, NULL));
  int proc = SYS(open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
  pid_t parent = getpid();
  int parent_self = SYS(open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC));
  pid_t child = guest_fork();
  if (child == 0) {
    check(getpid(), getpid());
    char link[64] = "";
    SYS(readlinkat(proc, "self", link, sizeof link - 1));
    CHECK_EQ(atoi(link), getpid());
    // Opened by the parent, it is the parent's.
    int fd = SYS(openat(parent_self, "stat", O_RDONLY | O_CLOEXEC));
    char text[1024];
    CHECK(read_fd(fd, text, sizeof text) > 0);
    CHECK_EQ(atoi(text), parent);
    _exit(0);
  }
  REAP(child);
  return guest_pass();
}
