// Regular files across a freeze: flags, offsets shared by dup and fork and not by a second open, close-on-exec,
// numbers.
#include <sys/file.h>

#include "guest.h"

static bool cloexec(int fd) {
  return (SYS(fcntl(fd, F_GETFD)) & FD_CLOEXEC) != 0;
}

int main(void) {
  guest_begin();
  write_file("file", "0123456789", 0600);
  int one = SYS(open("file", O_RDWR | O_CLOEXEC));
  int copy = SYS(dup(one));
  int other = SYS(open("file", O_RDONLY | O_NONBLOCK));
  int append = SYS(open("file", O_WRONLY | O_APPEND | O_SYNC));
  int path = SYS(open("file", O_PATH));
  int noatime = SYS(open("file", O_RDONLY | O_NOATIME));
  int link = SYS(symlink("file", "link"));
  link = SYS(open("link", O_PATH | O_NOFOLLOW));
  int high = SYS(fcntl(other, F_DUPFD, 900));
  SYS(lseek(one, 3, SEEK_SET));
  SYS(lseek(other, 7, SEEK_SET));
  struct gate go = gate_make(), done = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    gate_wait(&go);
    char byte;
    CHECK_EQ(read(one, &byte, 1), 1);
    CHECK_EQ(byte, '3');
    gate_open(&done);
    gate_wait(&go);
    _exit(0);
  }
  int appending = fcntl(append, F_GETFL), pathly = fcntl(path, F_GETFL);
  guest_fence();
  CHECK_EQ(fcntl(append, F_GETFL), appending);
  CHECK_EQ(fcntl(path, F_GETFL), pathly);
  CHECK((fcntl(noatime, F_GETFL) & O_NOATIME) != 0);
  CHECK((fcntl(other, F_GETFL) & O_NONBLOCK) != 0);
  CHECK(cloexec(one) && !cloexec(copy) && !cloexec(high));
  CHECK_EQ(lseek(one, 0, SEEK_CUR), 3);
  CHECK_EQ(lseek(other, 0, SEEK_CUR), 7);
  CHECK_EQ(lseek(high, 0, SEEK_CUR), 7);
  gate_open(&go);
  gate_wait(&done);
  CHECK_EQ(lseek(copy, 0, SEEK_CUR), 4);
  guest_fence();
  CHECK_EQ(lseek(copy, 0, SEEK_CUR), 4);
  SYS(lseek(high, 1, SEEK_SET));
  CHECK_EQ(lseek(other, 0, SEEK_CUR), 1);
  CHECK_EQ(write(append, "ab", 2), 2);
  char text[32];
  SYS(lseek(one, 0, SEEK_SET));
  CHECK_EQ(read_fd(one, text, sizeof text), 12);
  CHECK_STR(text, "0123456789ab");
  CHECK_ERRNO(read(path, text, 1), EBADF);
  struct stat info, same;
  SYS(fstat(path, &info));
  SYS(stat("file", &same));
  CHECK_EQ(info.st_ino, same.st_ino);
  SYS(fstat(link, &info));
  CHECK(S_ISLNK(info.st_mode));
  gate_open(&go);
  REAP(child);
  return guest_pass();
}
