// comm, cmdline, environ, exe, cwd, root and fd links of self and of another process.
#include "guest.h"

int main(int argc, char** argv) {
  guest_begin();
  if (argc == 4) {
    int fd = atoi(argv[1]);
    long one = 1;
    CHECK_EQ(write(fd, &one, sizeof one), sizeof one);
    for (;;) {
      pause();
    }
  }
  char self[PATH_MAX] = "", here[PATH_MAX], text[PATH_MAX], path[128];
  SYS(readlink("/proc/self/exe", self, sizeof self - 1));
  CHECK(getcwd(here, sizeof here));
  SYS(mkdir("inside", 0700));
  int fd[2];
  SYS(pipe(fd));
  pid_t child = guest_fork();
  if (child == 0) {
    SYS(chdir("inside"));
    char number[16];
    snprintf(number, sizeof number, "%d", fd[1]);
    int file = SYS(open("opened", O_RDWR | O_CREAT, 0600));
    CHECK_EQ(dup2(file, 77), 77);
    char* arguments[] = {"argument zero", number, "", "last one", NULL};
    char* environment[] = {"MARK=there", "GUEST_CHILD=1", NULL};
    execve("/proc/self/exe", arguments, environment);
    _exit(127);
  }
  long one;
  CHECK_EQ(read(fd[0], &one, sizeof one), sizeof one);
  snprintf(path, sizeof path, "/proc/%d/cmdline", child);
  ssize_t length = read_file(path, text, sizeof text);
  char expected[PATH_MAX];
  int used = snprintf(expected, sizeof expected, "argument zero%c%d%c%clast one", 0, fd[1], 0, 0) + 1;
  CHECK_EQ(length, used);
  CHECK_EQ(memcmp(text, expected, (size_t)used), 0);
  snprintf(path, sizeof path, "/proc/%d/environ", child);
  CHECK(read_file(path, text, sizeof text) > 0);
  CHECK_STR(text, "MARK=there");
  snprintf(path, sizeof path, "/proc/%d/comm", child);
  CHECK(read_file(path, text, sizeof text) > 0);
  CHECK_STR(text, "exe\n");
  memset(text, 0, sizeof text);
  snprintf(path, sizeof path, "/proc/%d/exe", child);
  SYS(readlink(path, text, sizeof text - 1));
  CHECK_STR(text, self);
  memset(text, 0, sizeof text);
  snprintf(path, sizeof path, "/proc/%d/cwd", child);
  SYS(readlink(path, text, sizeof text - 1));
  snprintf(expected, sizeof expected, "%.3000s/inside", here);
  CHECK_STR(text, expected);
  memset(text, 0, sizeof text);
  snprintf(path, sizeof path, "/proc/%d/root", child);
  SYS(readlink(path, text, sizeof text - 1));
  CHECK_STR(text, "/");
  memset(text, 0, sizeof text);
  snprintf(path, sizeof path, "/proc/%d/fd/77", child);
  SYS(readlink(path, text, sizeof text - 1));
  snprintf(expected, sizeof expected, "%.3000s/inside/opened", here);
  CHECK_STR(text, expected);
  // Through the links, into the other's directory and file.
  snprintf(path, sizeof path, "/proc/%d/cwd/opened", child);
  struct stat status;
  SYS(stat(path, &status));
  snprintf(path, sizeof path, "/proc/%d/fd/77", child);
  int file = SYS(open(path, O_RDWR | O_CLOEXEC));
  CHECK_EQ(write(file, "x", 1), 1);
  snprintf(path, sizeof path, "/proc/%d/root/proc/self/comm", child);
  CHECK(read_file(path, text, sizeof text) > 0);
  SYS(kill(child, SIGKILL));
  REAP_SIGNAL(child, SIGKILL);
  (void)argv;
  return guest_pass();
}
