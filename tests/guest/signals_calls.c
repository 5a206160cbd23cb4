// A 1 kHz timer with SA_RESTART while paths, ids and kills are hammered: no call fails, every result is right.
#include "storm.h"

int main(void) {
  guest_begin();
  write_file("file", "content", 0640);
  SYS(symlink("file", "link"));
  pid_t parent = getppid(), self = getpid();
  char directory[PATH_MAX];
  CHECK(getcwd(directory, sizeof directory));
  timer_t timer = storm_begin(SA_RESTART);
  for (int i = 0; !storm_enough(i, 300); ++i) {
    int fd = SYS(open("file", O_RDWR | O_CLOEXEC));
    char byte;
    CHECK_EQ(read(fd, &byte, 1), 1);
    CHECK_EQ(byte, 'c');
    SYS(close(fd));
    struct stat status;
    SYS(stat("link", &status));
    CHECK_EQ(status.st_size, 7);
    SYS(lstat("link", &status));
    CHECK(S_ISLNK(status.st_mode));
    char text[PATH_MAX] = "";
    CHECK_EQ(readlink("link", text, sizeof text), 4);
    CHECK_ERRNO(open("missing", O_RDONLY), ENOENT);
    CHECK_ERRNO(access("missing", F_OK), ENOENT);
    SYS(access("file", R_OK | W_OK));
    CHECK(getcwd(text, sizeof text));
    CHECK_STR(text, directory);
    SYS(kill(self, 0));
    CHECK_EQ(raw_getpid(), self);
    CHECK_EQ(syscall(SYS_getppid), parent);
    CHECK_EQ(raw_gettid(), self);
    CHECK_EQ(getpgid(0), getpgrp());
    // Nothing is left behind or done twice.
    SYS(mkdir("made", 0700));
    SYS(rename("made", "moved"));
    SYS(rmdir("moved"));
    int made = SYS(open("new", O_CREAT | O_EXCL | O_WRONLY, 0600));
    SYS(close(made));
    SYS(unlink("new"));
  }
  storm_end(timer);
  return guest_pass();
}
