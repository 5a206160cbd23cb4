// Directories a thousand levels deep, below what any path can say: reached step by step, by chdir and by descriptors.
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include "guest.h"

enum { kLevels = 1000 };
static const char kName[] = "level";

static void check_here(const char* expected) {
  int fd = SYS(open("file", O_RDONLY));
  char text[32] = {0};
  CHECK_EQ(read(fd, text, sizeof text - 1), (ssize_t)strlen(expected));
  CHECK_STR(text, expected);
  close(fd);
}

static void write_here(const char* text) {
  int fd = SYS(open("file", O_WRONLY | O_CREAT | O_TRUNC, 0644));
  CHECK_EQ(write(fd, text, strlen(text)), (ssize_t)strlen(text));
  close(fd);
}

int main(void) {
  char path[2 * PATH_MAX];
  SYS(mkdir("top", 0755));
  SYS(chdir("top"));
  for (int i = 0; i < kLevels; ++i) {
    SYS(mkdir(kName, 0755));
    SYS(chdir(kName));
  }
  CHECK_EQ(syscall(SYS_getcwd, path, sizeof path), -1);
  CHECK_EQ(errno, ENAMETOOLONG);
  write_here("bottom");
  check_here("bottom");
  struct stat status;
  SYS(stat("../../level/../level/level/file", &status));
  CHECK_EQ(status.st_size, 6);
  SYS(rename("file", "../moved"));
  CHECK_EQ(access("file", F_OK), -1);
  SYS(rename("../moved", "file"));
  SYS(chdir("../.."));
  write_here("above");
  check_here("above");
  int here = SYS(open(".", O_RDONLY | O_DIRECTORY));
  int below = SYS(openat(here, kName, O_RDONLY | O_DIRECTORY));
  int bottom = SYS(openat(below, kName, O_RDONLY | O_DIRECTORY));
  int file = SYS(openat(bottom, "file", O_RDONLY));
  close(file);
  SYS(fchdir(bottom));
  check_here("bottom");
  SYS(unlink("file"));
  SYS(fchdir(here));
  SYS(unlink("file"));
  SYS(unlinkat(below, kName, AT_REMOVEDIR));
  SYS(unlinkat(here, kName, AT_REMOVEDIR));
  for (int i = 2; i < kLevels; ++i) {
    SYS(chdir(".."));
    SYS(rmdir(kName));
  }
  SYS(chdir(".."));
  SYS(rmdir("top"));
  return guest_pass();
}
