// execveat: by descriptor alone, relative to a directory, absolute, and with AT_SYMLINK_NOFOLLOW; fexecve of a script.
#include "guest.h"

static int run(int dir, const char* path, int flags, const char* argument) {
  pid_t child = guest_fork();
  if (child == 0) {
    char parent[16];
    snprintf(parent, sizeof parent, "%d", getpid());
    char* arguments[] = {"zero", (char*)argument, parent, NULL};
    extern char** environ;
    syscall(SYS_execveat, dir, path, arguments, environ, flags);
    _exit(errno);
  }
  int status = guest_status(child);
  CHECK(WIFEXITED(status));
  return WEXITSTATUS(status);
}

int main(int argc, char** argv) {
  guest_begin();
  if (argc == 3) {
    CHECK_STR(argv[0], "zero");
    CHECK_EQ(getpid(), atoi(argv[2]));
    return atoi(argv[1]);
  }
  char self[PATH_MAX] = "";
  SYS(readlink("/proc/self/exe", self, sizeof self - 1));
  copy_file(self, "copy", 0755);
  SYS(symlink("copy", "link"));
  int file = SYS(open("copy", O_PATH | O_CLOEXEC));
  CHECK_EQ(run(file, "", AT_EMPTY_PATH, "171"), 171);
  SYS(close(file));
  file = SYS(open("copy", O_RDONLY | O_CLOEXEC));
  CHECK_EQ(run(file, "", AT_EMPTY_PATH, "172"), 172);
  CHECK_EQ(run(file, "", 0, "1"), ENOENT);
  SYS(close(file));
  int dir = SYS(open(".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  CHECK_EQ(run(dir, "copy", 0, "173"), 173);
  CHECK_EQ(run(dir, "link", 0, "174"), 174);
  CHECK_EQ(run(dir, "link", AT_SYMLINK_NOFOLLOW, "1"), ELOOP);
  CHECK_EQ(run(dir, "copy", AT_SYMLINK_NOFOLLOW, "175"), 175);
  CHECK_EQ(run(AT_FDCWD, "copy", 0, "176"), 176);
  CHECK_EQ(run(-1, self, 0, "177"), 177);
  CHECK_EQ(run(-1, "copy", 0, "1"), EBADF);
  CHECK_EQ(run(dir, "", AT_EMPTY_PATH, "1"), EACCES);
  CHECK_EQ(run(dir, "copy", 0x10000000, "1"), EINVAL);

  // A script by descriptor: its interpreter gets /dev/fd/N, so a close-on-exec one can't be found.
  write_file("script", "#!/bin/sh\ncase $0 in /dev/fd/*) exit 178;; esac\nexit 1\n", 0755);
  int script = SYS(open("script", O_RDONLY));
  CHECK_EQ(run(script, "", AT_EMPTY_PATH, "1"), 178);
  SYS(fcntl(script, F_SETFD, FD_CLOEXEC));
  CHECK_EQ(run(script, "", AT_EMPTY_PATH, "1"), ENOENT);
  return guest_pass();
}
