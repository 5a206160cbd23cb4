// inotify across a freeze: watches keep their numbers and masks, and go on where they were.
#include <sys/inotify.h>

#include "guest.h"

static void expect(int fd, int watch, uint32_t mask, const char* name) {
  char buffer[sizeof(struct inotify_event) + 256] __attribute__((aligned(8)));
  ssize_t got = SYS(read(fd, buffer, sizeof buffer));
  struct inotify_event* event = (struct inotify_event*)buffer;
  CHECK_EQ(got, (ssize_t)sizeof *event + event->len);
  CHECK_EQ(event->wd, watch);
  CHECK_EQ(event->mask, mask);
  CHECK_STR(event->len ? event->name : "", name);
}

int main(void) {
  guest_begin();
  SYS(mkdir("dir", 0700));
  write_file("file", "x", 0600);
  int fd = SYS(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  char here[4096];
  CHECK(getcwd(here, sizeof here) != NULL);
  strcat(here, "/file");
  int gap = SYS(inotify_add_watch(fd, "/", IN_DELETE_SELF));
  int dir = SYS(inotify_add_watch(fd, "dir", IN_CREATE | IN_DELETE | IN_MOVED_TO));
  int file = SYS(inotify_add_watch(fd, here, IN_MODIFY | IN_ONESHOT));
  SYS(inotify_rm_watch(fd, gap));
  expect(fd, gap, IN_IGNORED, "");
  int open_file = SYS(open("dir/held", O_RDWR | O_CREAT, 0600));
  expect(fd, dir, IN_CREATE, "held");
  guest_fence();
  char byte;
  CHECK_ERRNO(read(fd, &byte, 1), EAGAIN);
  write_file("dir/new", "", 0600);
  expect(fd, dir, IN_CREATE, "new");
  SYS(rename("dir", "moved"));
  guest_fence();
  CHECK_EQ(inotify_add_watch(fd, "moved", IN_MASK_ADD | IN_ATTRIB), dir);
  int writer = SYS(open("file", O_WRONLY | O_APPEND));
  CHECK_EQ(write(writer, "y", 1), 1);
  struct inotify_event events[2];
  CHECK_EQ(read(fd, events, sizeof events), sizeof events);
  CHECK(events[0].wd == file && events[0].mask == IN_MODIFY && events[1].mask == IN_IGNORED);
  SYS(unlink("moved/new"));
  expect(fd, dir, IN_DELETE, "new");
  SYS(close(open_file));
  return guest_pass();
}
