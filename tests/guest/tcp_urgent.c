// Urgent data: a byte out of band between others, at the front, at the end, in line, and the mark that it leaves.
#include "inet.h"

static int mark_of(int fd) {
  int mark = -1;
  SYS(ioctl(fd, SIOCATMARK, &mark));
  return mark;
}

static void arrived(int fd, int bytes) {
  for (int got = 0; got < bytes;) {
    char buffer[64];
    ssize_t now = recv(fd, buffer, sizeof buffer, MSG_PEEK);
    CHECK(now >= 0);
    got = (int)now;
  }
}

int main(void) {
  guest_begin();
  int middle[2], front[2], end[2], inline_pair[2];
  tcp_pair(middle);
  put(middle[0], "before");
  CHECK_EQ(send(middle[0], "!", 1, MSG_OOB), 1);
  put(middle[0], "after");
  wait_sent(middle[0]);
  arrived(middle[1], 6);
  tcp_pair(front);
  CHECK_EQ(send(front[0], "?", 1, MSG_OOB), 1);
  put(front[0], "rest");
  wait_sent(front[0]);
  tcp_pair(end);
  put(end[0], "all");
  CHECK_EQ(send(end[0], ".", 1, MSG_OOB), 1);
  wait_sent(end[0]);
  tcp_pair(inline_pair);
  set_option(inline_pair[1], SOL_SOCKET, SO_OOBINLINE, 1);
  put(inline_pair[0], "in");
  CHECK_EQ(send(inline_pair[0], "#", 1, MSG_OOB), 1);
  put(inline_pair[0], "line");
  wait_sent(inline_pair[0]);
  guest_fence();
  char byte;
  CHECK_EQ(mark_of(middle[1]), 0);
  CHECK_EQ(recv(middle[1], &byte, 1, MSG_OOB), 1);
  CHECK_EQ(byte, '!');
  take(middle[1], "before");
  CHECK_EQ(mark_of(middle[1]), 1);
  take(middle[1], "after");
  CHECK_EQ(mark_of(front[1]), 1);
  CHECK_EQ(recv(front[1], &byte, 1, MSG_OOB), 1);
  CHECK_EQ(byte, '?');
  take(front[1], "rest");
  take(end[1], "all");
  CHECK_EQ(recv(end[1], &byte, 1, MSG_OOB), 1);
  CHECK_EQ(byte, '.');
  take_nothing(end[1]);
  char text[16] = "";
  CHECK_EQ(recv(inline_pair[1], text, sizeof text, 0), 2);
  CHECK_EQ(memcmp(text, "in", 2), 0);
  CHECK_EQ(mark_of(inline_pair[1]), 1);
  CHECK_EQ(recv(inline_pair[1], text, 5, MSG_WAITALL), 5);
  CHECK_EQ(memcmp(text, "#line", 5), 0);
  return guest_pass();
}
