// What has another name, or whose name is another file's now, across a freeze: renamed files and directories, removed
// ones with a successor under their name, FIFOs likewise.
#include "guest.h"

static void expect(int fd, const char* text) {
  char buffer[64];
  ssize_t got = SYS(read(fd, buffer, sizeof buffer));
  CHECK_EQ(got, strlen(text));
  CHECK(memcmp(buffer, text, strlen(text)) == 0);
}

static int make(const char* path, const char* text) {
  int fd = SYS(open(path, O_RDWR | O_CREAT | O_EXCL, 0600));
  CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
  SYS(lseek(fd, 0, SEEK_SET));
  return fd;
}

int main(void) {
  guest_begin();
  int renamed = make("before", "renamed");
  SYS(rename("before", "after"));
  SYS(mkdir("dir", 0700));
  int inside = make("dir/file", "inside");
  int dir = SYS(open("dir", O_RDONLY | O_DIRECTORY));
  SYS(rename("dir", "moved"));
  int old = make("same", "old");
  SYS(unlink("same"));
  int new = make("same", "new");
  int deleted_name = make("x (deleted)", "name");
  int replaced = make("target", "replaced");
  make("source", "source");
  SYS(rename("source", "target"));
  SYS(mkfifo("fifo", 0600));
  int old_fifo = SYS(open("fifo", O_RDWR));
  CHECK_EQ(write(old_fifo, "old", 3), 3);
  SYS(unlink("fifo"));
  SYS(mkfifo("fifo", 0600));
  int new_fifo = SYS(open("fifo", O_RDWR));
  CHECK_EQ(write(new_fifo, "new", 3), 3);
  // A removed FIFO with an end in each of two processes.
  SYS(mkfifo("gone", 0600));
  int reader = SYS(open("gone", O_RDONLY | O_NONBLOCK));
  int writer = SYS(open("gone", O_WRONLY));
  SYS(unlink("gone"));
  SYS(fcntl(reader, F_SETFL, 0));
  pid_t child = guest_fork();
  if (child == 0) {
    close(writer);
    expect(reader, "through");
    expect(reader, "");
    _exit(0);
  }
  SYS(close(reader));
  guest_fence();
  expect(renamed, "renamed");
  expect(inside, "inside");
  CHECK(faccessat(dir, "file", F_OK, 0) == 0);
  expect(old, "old");
  expect(new, "new");
  expect(deleted_name, "name");
  expect(replaced, "replaced");
  expect(old_fifo, "old");
  expect(new_fifo, "new");
  char text[16];
  CHECK_EQ(read_file("target", text, sizeof text), 6);
  CHECK_EQ(read_file("same", text, sizeof text), 3);
  CHECK_EQ(write(writer, "through", 7), 7);
  guest_fence();
  SYS(close(writer));
  REAP(child);
  struct stat one, two;
  SYS(fstat(new_fifo, &one));
  SYS(stat("fifo", &two));
  CHECK_EQ(one.st_ino, two.st_ino);
  SYS(fstat(old_fifo, &two));
  CHECK_NE(one.st_ino, two.st_ino);
  return guest_pass();
}
