// A port whose first socket has gone belongs to the next: whoever connects reaches that one, also without waiting, and
// whichever of the addresses each had bound.
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "guest.h"

static int listener(in_addr_t ip, in_port_t* port) {
  int fd = SYS(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  int on = 1;
  SYS(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = *port, .sin_addr = {htonl(ip)}};
  socklen_t size = sizeof name;
  SYS(bind(fd, (struct sockaddr*)&name, size));
  SYS(getsockname(fd, (struct sockaddr*)&name, &size));
  *port = name.sin_port;
  SYS(listen(fd, 4));
  return fd;
}

static void reach(in_port_t port, int flags) {
  int fd = SYS(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = port, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  if (connect(fd, (struct sockaddr*)&name, sizeof name) != 0) {
    CHECK_EQ(errno, EINPROGRESS);
    struct pollfd done = {fd, POLLOUT, 0};
    CHECK_EQ(poll(&done, 1, -1), 1);
    int error = -1;
    socklen_t size = sizeof error;
    SYS(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size));
    CHECK_EQ(error, 0);
  }
  SYS(close(fd));
}

int main(void) {
  guest_begin();
  static const in_addr_t kinds[] = {INADDR_LOOPBACK, INADDR_ANY};
  for (int first = 0; first < 2; ++first) {
    for (int second = 0; second < 2; ++second) {
      in_port_t port = 0;
      SYS(close(listener(kinds[first], &port)));
      int fd = listener(kinds[second], &port);
      reach(port, 0);
      reach(port, SOCK_NONBLOCK);
      SYS(close(fd));
    }
  }
  return guest_pass();
}
