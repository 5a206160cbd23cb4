// Pipes and FIFOs across a freeze: bytes, packets, capacity, ends that are closed, ends in several processes.
#include <poll.h>
#include <sys/ioctl.h>

#include "guest.h"

static void expect(int fd, const char* text) {
  char buffer[64];
  ssize_t got = SYS(read(fd, buffer, sizeof buffer));
  CHECK_EQ(got, strlen(text));
  CHECK(memcmp(buffer, text, strlen(text)) == 0);
}

static short events(int fd) {
  struct pollfd poll_fd = {.fd = fd, .events = POLLIN | POLLOUT};
  SYS(poll(&poll_fd, 1, 0));
  return poll_fd.revents;
}

int main(void) {
  guest_begin();
  signal(SIGPIPE, SIG_IGN);
  int bytes[2], packets[2], large[2], no_writer[2], no_reader[2];
  SYS(pipe2(bytes, O_NONBLOCK));
  CHECK_EQ(write(bytes[1], "abc", 3), 3);
  CHECK_EQ(write(bytes[1], "def", 3), 3);
  SYS(pipe2(packets, O_DIRECT));
  CHECK_EQ(write(packets[1], "one", 3), 3);
  CHECK_EQ(write(packets[1], "three", 5), 5);
  CHECK_EQ(write(packets[1], "x", 1), 1);
  SYS(pipe(large));
  int capacity = SYS(fcntl(large[0], F_SETPIPE_SZ, 256 * 1024));
  SYS(pipe(no_writer));
  CHECK_EQ(write(no_writer[1], "rest", 4), 4);
  SYS(close(no_writer[1]));
  SYS(pipe(no_reader));
  SYS(close(no_reader[0]));

  SYS(mkfifo("fifo", 0600));
  int fifo_reader = SYS(open("fifo", O_RDONLY | O_NONBLOCK));
  int fifo_writer = SYS(open("fifo", O_WRONLY));
  CHECK_EQ(write(fifo_writer, "named", 5), 5);
  SYS(mkfifo("early", 0600));
  int early = SYS(open("early", O_RDONLY | O_NONBLOCK));
  SYS(mkfifo("late", 0600));
  int late = SYS(open("late", O_RDWR));
  CHECK_EQ(write(late, "own", 3), 3);
  SYS(unlink("late"));

  // The other end is the child's alone.
  int up[2], down[2];
  SYS(pipe(up));
  SYS(pipe(down));
  pid_t child = guest_fork();
  if (child == 0) {
    close(up[0]);
    close(down[1]);
    expect(down[0], "down");
    CHECK_EQ(write(up[1], "up", 2), 2);
    CHECK_EQ(read(down[0], bytes, 1), 0);
    _exit(0);
  }
  SYS(close(up[1]));
  SYS(close(down[0]));

  guest_fence();
  expect(bytes[0], "abcdef");
  CHECK_ERRNO(read(bytes[0], &capacity, 1), EAGAIN);
  expect(packets[0], "one");
  guest_fence();
  expect(packets[0], "three");
  expect(packets[0], "x");
  CHECK((fcntl(packets[1], F_GETFL) & O_DIRECT) != 0);
  CHECK_EQ(fcntl(large[1], F_GETPIPE_SZ), capacity);
  expect(no_writer[0], "rest");
  expect(no_writer[0], "");
  CHECK((events(no_writer[0]) & POLLHUP) != 0);
  CHECK((events(no_reader[1]) & POLLERR) != 0);
  CHECK_ERRNO(write(no_reader[1], "x", 1), EPIPE);
  expect(fifo_reader, "named");
  CHECK_EQ(write(fifo_writer, "more", 4), 4);
  expect(fifo_reader, "more");
  CHECK((events(early) & POLLHUP) == 0);
  int early_writer = SYS(open("early", O_WRONLY | O_NONBLOCK));
  CHECK_EQ(write(early_writer, "first", 5), 5);
  guest_fence();
  expect(early, "first");
  expect(late, "own");
  SYS(close(early_writer));
  CHECK((events(early) & POLLHUP) != 0);
  CHECK_EQ(write(down[1], "down", 4), 4);
  expect(up[0], "up");
  SYS(close(down[1]));
  REAP(child);
  guest_fence();
  CHECK((events(early) & POLLHUP) != 0);
  expect(up[0], "");
  return guest_pass();
}
