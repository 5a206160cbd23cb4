// What an inotify instance has to tell.
#pragma once

#include <sys/inotify.h>
#include <sys/ioctl.h>

#include "guest.h"

struct told {
  int watch;
  uint32_t mask, cookie;
  char name[64];
};

// Reads all that there is, at most `size` events.
static int told_by(int fd, struct told* all, int size) {
  char buffer[8192] __attribute__((aligned(8)));
  int count = 0, unread = 0;
  while (ioctl(fd, FIONREAD, &unread) == 0 && unread > 0) {
    ssize_t got = SYS(read(fd, buffer, sizeof buffer));
    for (ssize_t at = 0; at < got;) {
      struct inotify_event* event = (struct inotify_event*)(void*)(buffer + at);
      CHECK(count < size);
      all[count].watch = event->wd;
      all[count].mask = event->mask;
      all[count].cookie = event->cookie;
      snprintf(all[count].name, sizeof all[count].name, "%s", event->len ? event->name : "");
      ++count;
      at += (ssize_t)(sizeof *event + event->len);
    }
  }
  return count;
}
