// epoll across a freeze: levels, edges told and untold, one-shot entries, data, nested instances, an entry whose number
// has been closed.
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "guest.h"

static void add(int epoll, int fd, uint32_t events, uint64_t data) {
  struct epoll_event event = {.events = events, .data = {.u64 = data}};
  SYS(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
}

// The events of the entry with this data, 0 when it is not ready; `all` of them are counted.
static uint32_t ready(int epoll, uint64_t data, int all) {
  struct epoll_event events[16];
  int count = SYS(epoll_wait(epoll, events, 16, 0));
  CHECK_EQ(count, all);
  for (int i = 0; i < count; ++i) {
    if (events[i].data.u64 == data) {
      return events[i].events;
    }
  }
  return 0;
}

static void signal_fd(int fd) {
  uint64_t one = 1;
  CHECK_EQ(write(fd, &one, sizeof one), sizeof one);
}

int main(void) {
  guest_begin();
  int level = SYS(epoll_create1(EPOLL_CLOEXEC)), edges = SYS(epoll_create1(0)), shots = SYS(epoll_create1(0));
  int outer = SYS(epoll_create1(0)), ghosts = SYS(epoll_create1(0));
  int full = SYS(eventfd(1, 0)), empty = SYS(eventfd(0, 0));
  add(level, full, EPOLLIN, 0x1122334455667788);
  add(level, empty, EPOLLIN, 2);
  int told = SYS(eventfd(1, 0)), untold = SYS(eventfd(1, 0)), quiet = SYS(eventfd(0, 0));
  add(edges, told, EPOLLIN | EPOLLET, 1);
  add(edges, quiet, EPOLLIN | EPOLLET, 3);
  CHECK_EQ(ready(edges, 1, 1), EPOLLIN);
  add(edges, untold, EPOLLIN | EPOLLET, 2);
  int fired = SYS(eventfd(1, 0)), loaded = SYS(eventfd(0, 0));
  add(shots, fired, EPOLLIN | EPOLLONESHOT, 1);
  CHECK_EQ(ready(shots, 1, 1), EPOLLIN);
  add(shots, loaded, EPOLLIN | EPOLLONESHOT, 2);
  int inner = SYS(epoll_create1(0)), source = SYS(eventfd(0, 0));
  add(inner, source, EPOLLIN, 1);
  add(outer, inner, EPOLLIN, 7);
  int alone = SYS(epoll_create1(0)), crowd = SYS(eventfd(1, 0));
  add(alone, crowd, EPOLLIN | EPOLLET | EPOLLEXCLUSIVE, 4);
  // Registered under a number that is closed, alive by a copy.
  int hidden = SYS(eventfd(1, 0)), copy = SYS(dup(hidden));
  add(ghosts, hidden, EPOLLIN, 9);
  SYS(close(hidden));

  guest_fence();
  CHECK_EQ(ready(alone, 4, 1), EPOLLIN);
  CHECK_EQ(ready(level, 0x1122334455667788, 1), EPOLLIN);
  signal_fd(empty);
  CHECK_EQ(ready(level, 2, 2), EPOLLIN);
  CHECK_EQ(ready(edges, 2, 1), EPOLLIN);
  guest_fence();
  CHECK_EQ(ready(alone, 4, 0), 0);
  CHECK_EQ(ready(edges, 1, 0), 0);
  signal_fd(told);
  signal_fd(quiet);
  CHECK_EQ(ready(edges, 1, 2), EPOLLIN);
  signal_fd(quiet);
  guest_fence();
  CHECK_EQ(ready(edges, 3, 1), EPOLLIN);
  signal_fd(loaded);
  CHECK_EQ(ready(shots, 2, 1), EPOLLIN);
  signal_fd(fired);
  guest_fence();
  CHECK_EQ(ready(shots, 2, 0), 0);
  struct epoll_event again = {.events = EPOLLIN | EPOLLONESHOT, .data = {.u64 = 5}};
  SYS(epoll_ctl(shots, EPOLL_CTL_MOD, fired, &again));
  CHECK_EQ(ready(shots, 5, 1), EPOLLIN);
  CHECK_EQ(ready(outer, 7, 0), 0);
  signal_fd(source);
  guest_fence();
  CHECK_EQ(ready(outer, 7, 1), EPOLLIN);
  CHECK_EQ(ready(inner, 1, 1), EPOLLIN);
  CHECK_EQ(ready(ghosts, 9, 1), EPOLLIN);
  CHECK_ERRNO(epoll_ctl(ghosts, EPOLL_CTL_DEL, hidden, NULL), EBADF);
  SYS(dup2(copy, hidden));
  SYS(epoll_ctl(ghosts, EPOLL_CTL_DEL, hidden, NULL));
  CHECK_EQ(ready(ghosts, 9, 0), 0);
  return guest_pass();
}
