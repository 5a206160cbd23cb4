// TCP connections of which one end sends nothing more: with data unread before the end, the end already read, both ends shut
// down in either order, and only the receiving half shut down.
#include "inet.h"

int main(void) {
  guest_begin();
  int unread[2], read_end[2], reverse[2], both[2], deaf[2], answer[2];
  tcp_pair(unread);
  put(unread[0], "last words");
  SYS(shutdown(unread[0], SHUT_WR));
  wait_tcp_state(unread[1], TCP_CLOSE_WAIT);
  tcp_pair(read_end);
  SYS(shutdown(read_end[0], SHUT_WR));
  wait_events(read_end[1], POLLIN);
  take_end(read_end[1]);
  tcp_pair(reverse);
  put(reverse[1], "from the server");
  put(reverse[0], "from the client");
  SYS(shutdown(reverse[1], SHUT_WR));
  wait_tcp_state(reverse[0], TCP_CLOSE_WAIT);
  tcp_pair(both);
  put(both[0], "one");
  put(both[1], "two");
  SYS(shutdown(both[0], SHUT_WR));
  wait_tcp_state(both[1], TCP_CLOSE_WAIT);
  SYS(shutdown(both[1], SHUT_WR));
  wait_tcp_state(both[0], TCP_CLOSE);
  wait_tcp_state(both[1], TCP_CLOSE);
  union inet_name own = inet_own(both[0]);
  tcp_pair(deaf);
  SYS(shutdown(deaf[0], SHUT_RD));
  tcp_pair(answer);
  put(answer[0], "question");
  SYS(shutdown(answer[0], SHUT_WR));
  guest_fence();
  wait_tcp_state(unread[0], TCP_FIN_WAIT2);
  CHECK_EQ(tcp_state_of(unread[1]), TCP_CLOSE_WAIT);
  CHECK_EQ(events_of(unread[1]) & (POLLIN | POLLRDHUP | POLLHUP), POLLIN | POLLRDHUP);
  take(unread[1], "last words");
  take_end(unread[1]);
  CHECK_ERRNO(send(unread[0], "x", 1, MSG_NOSIGNAL), EPIPE);
  put(unread[1], "still this way");
  take(unread[0], "still this way");
  take_end(read_end[1]);
  put(read_end[1], "y");
  take(read_end[0], "y");
  take(reverse[0], "from the server");
  take_end(reverse[0]);
  take(reverse[1], "from the client");
  CHECK_ERRNO(send(reverse[1], "x", 1, MSG_NOSIGNAL), EPIPE);
  CHECK_EQ(tcp_state_of(both[0]), TCP_CLOSE);
  inet_same(inet_own(both[0]), own);
  take(both[0], "two");
  take(both[1], "one");
  for (int i = 0; i < 2; ++i) {
    take_end(both[i]);
    CHECK_ERRNO(send(both[i], "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_EQ(events_of(both[i]) & POLLHUP, POLLHUP);
    union inet_name peer;
    socklen_t size = sizeof peer;
    CHECK_ERRNO(getpeername(both[i], &peer.any, &size), ENOTCONN);
  }
  take_end(deaf[0]);
  CHECK_EQ(tcp_state_of(deaf[1]), TCP_ESTABLISHED);
  put(deaf[0], "heard");
  take(deaf[1], "heard");
  take(answer[1], "question");
  take_end(answer[1]);
  put(answer[1], "reply");
  guest_fence();
  take(answer[0], "reply");
  SYS(shutdown(answer[1], SHUT_WR));
  wait_events(answer[0], POLLIN);
  take_end(answer[0]);
  wait_tcp_state(answer[1], TCP_CLOSE);
  return guest_pass();
}
