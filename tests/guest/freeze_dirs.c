// Directories across a freeze: a listing that is half read, one that has been removed, a working directory that has.
#include <dirent.h>

#include "guest.h"

int main(void) {
  guest_begin();
  enum { kFiles = 300 };
  SYS(mkdir("full", 0700));
  for (int i = 0; i < kFiles; ++i) {
    char name[32];
    snprintf(name, sizeof name, "full/f%03d", i);
    write_file(name, "", 0600);
  }
  bool seen[kFiles] = {0};
  int count = 0;
  int fd = SYS(open("full", O_RDONLY | O_DIRECTORY));
  char buffer[1024];
  long size;
  int round = 0;
  while ((size = SYS(syscall(SYS_getdents64, fd, buffer, sizeof buffer))) > 0) {
    for (long at = 0; at < size;) {
      unsigned short length;
      memcpy(&length, buffer + at + 16, sizeof length);
      const char* name = buffer + at + 19;
      if (name[0] == 'f') {
        int number = atoi(name + 1);
        CHECK(!seen[number]);
        seen[number] = true;
        ++count;
      }
      at += length;
    }
    if (round++ % 4 == 1) {
      guest_fence();
    }
  }
  CHECK_EQ(count, kFiles);
  CHECK_EQ(openat(fd, "absent", O_RDONLY), -1);
  write_file("full/late", "x", 0600);
  CHECK(faccessat(fd, "late", F_OK, 0) == 0);

  SYS(mkdir("gone", 0700));
  int gone = SYS(open("gone", O_RDONLY | O_DIRECTORY));
  SYS(rmdir("gone"));
  SYS(mkdir("deep", 0700));
  SYS(mkdir("deep/er", 0700));
  pid_t child = guest_fork();
  if (child == 0) {
    SYS(chdir("deep/er"));
    SYS(rmdir("../../deep/er"));
    SYS(rmdir("../../deep"));
    guest_fence();
    char path[4096];
    CHECK_ERRNO(syscall(SYS_getcwd, path, sizeof path), ENOENT);
    CHECK_ERRNO(open("x", O_CREAT | O_RDWR, 0600), ENOENT);
    _exit(0);
  }
  REAP(child);
  guest_fence();
  struct stat info;
  SYS(fstat(gone, &info));
  CHECK_EQ(info.st_nlink, 0);
  CHECK_ERRNO(openat(gone, "x", O_CREAT | O_RDWR, 0600), ENOENT);
  CHECK_ERRNO(access("gone", F_OK), ENOENT);
  CHECK_ERRNO(access("deep", F_OK), ENOENT);
  return guest_pass();
}
