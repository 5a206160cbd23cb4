// TCP sockets whose other end was closed: behind unread data, with nothing, and reset, whose error waits; a refused connection.
#include "inet.h"

static int ready_to_fail(union inet_name name) {
  int fd = SYS(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
  CHECK_ERRNO(inet_connect(fd, name), EINPROGRESS);
  struct pollfd poll_fd = {fd, POLLOUT, 0};
  CHECK_EQ(poll(&poll_fd, 1, -1), 1);
  return fd;
}

static void reset(int fd) {
  struct linger at_once = {1, 0};
  SYS(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once));
  SYS(close(fd));
}

int main(void) {
  guest_begin();
  int pair[2];
  tcp_pair(pair);
  put(pair[1], "left behind");
  SYS(close(pair[1]));
  int behind = pair[0];
  wait_tcp_state(behind, TCP_CLOSE_WAIT);
  tcp_pair(pair);
  put(pair[0], "from a client");
  SYS(close(pair[0]));
  int accepted = pair[1];
  wait_tcp_state(accepted, TCP_CLOSE_WAIT);
  tcp_pair(pair);
  put(pair[1], "before the reset");
  wait_events(pair[0], POLLIN);
  reset(pair[1]);
  int was_reset = pair[0];
  wait_events(was_reset, POLLERR);
  union inet_name own = inet_own(was_reset);
  tcp_pair(pair);
  reset(pair[1]);
  int told = pair[0];
  wait_events(told, POLLERR);
  char byte;
  CHECK_ERRNO(recv(told, &byte, 1, 0), ECONNRESET);
  int listener = tcp_listener("127.0.0.1", 1);
  union inet_name nobody = inet_own(listener);
  SYS(close(listener));
  int refused = ready_to_fail(nobody);
  guest_fence();
  CHECK_EQ(tcp_state_of(behind), TCP_CLOSE_WAIT);
  take(behind, "left behind");
  take_end(behind);
  take_end(behind);
  take(accepted, "from a client");
  take_end(accepted);
  inet_same(inet_own(was_reset), own);
  CHECK_EQ(events_of(was_reset) & (POLLERR | POLLHUP), POLLERR | POLLHUP);
  // The error comes before what had arrived (the kernel drops nothing, but tells it first only of an empty queue).
  char text[32] = "";
  ssize_t got = recv(was_reset, text, sizeof text, 0);
  if (got > 0) {
    CHECK_STR(text, "before the reset");
    got = recv(was_reset, text, sizeof text, 0);
  }
  CHECK_EQ(got, -1);
  CHECK_EQ(errno, ECONNRESET);
  take_end(was_reset);
  take_end(told);
  CHECK_ERRNO(send(told, "x", 1, MSG_NOSIGNAL), EPIPE);
  CHECK_EQ(events_of(refused) & POLLERR, POLLERR);
  CHECK_EQ(option_of(refused, SOL_SOCKET, SO_ERROR), ECONNREFUSED);
  CHECK_EQ(option_of(refused, SOL_SOCKET, SO_ERROR), 0);
  return guest_pass();
}
