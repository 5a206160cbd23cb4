// Thousands of descriptors across a freeze, at the limit of their number, and the limit itself.
#include <sys/eventfd.h>
#include <sys/resource.h>

#include "guest.h"

int main(void) {
  guest_begin();
  struct rlimit limit;
  SYS(getrlimit(RLIMIT_NOFILE, &limit));
  limit.rlim_cur = limit.rlim_max < 3000 ? limit.rlim_max : 3000;
  SYS(setrlimit(RLIMIT_NOFILE, &limit));
  static int counts[3000];  // of the descriptors that have a counter of their own
  int first = SYS(eventfd(0, EFD_NONBLOCK));
  int made = 0, last = first;
  for (;; ++made) {
    int fd = made % 3 == 0 ? eventfd((unsigned)made + 1, EFD_NONBLOCK | (made % 2 ? EFD_SEMAPHORE : 0)) : dup(first);
    if (fd < 0) {
      CHECK_EQ(errno, EMFILE);
      break;
    }
    last = fd;
    counts[fd] = made % 3 == 0 ? (made % 2 ? 1 : made + 1) : -1;
  }
  CHECK_EQ(last, (int)limit.rlim_cur - 1);
  guest_fence();
  for (int fd = first; fd <= last; ++fd) {
    uint64_t value = 0;
    if (counts[fd] > 0) {
      CHECK_EQ(read(fd, &value, sizeof value), sizeof value);
      CHECK_EQ(value, counts[fd]);
    } else if (counts[fd] < 0) {
      CHECK_ERRNO(read(fd, &value, sizeof value), EAGAIN);
    }
  }
  CHECK_ERRNO(dup(first), EMFILE);
  SYS(getrlimit(RLIMIT_NOFILE, &limit));
  CHECK_EQ(limit.rlim_cur, last + 1);
  SYS(close(last));
  CHECK_EQ(dup(first), last);
  return guest_pass();
}
