// SO_PEERCRED: of a socketpair its maker; of a connected socket who called connect and listen at that time.
#include <sys/socket.h>
#include <sys/un.h>

#include "guest.h"

static void check(int fd, pid_t pid) {
  struct ucred credentials = {0};
  socklen_t size = sizeof credentials;
  SYS(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size));
  CHECK_EQ(size, sizeof credentials);
  CHECK_EQ(credentials.pid, pid);
  CHECK_EQ(credentials.uid, geteuid());
  CHECK_EQ(credentials.gid, getegid());
}

int main(void) {
  guest_begin();
  int pair[2];
  SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  check(pair[0], getpid());
  check(pair[1], getpid());
  pid_t self = getpid();
  pid_t child = guest_fork();
  if (child == 0) {
    // Inherited: still who made it.
    check(pair[0], self);
    _exit(0);
  }
  REAP(child);

  int unconnected = SYS(socket(AF_UNIX, SOCK_STREAM, 0));
  struct ucred credentials;
  socklen_t size = sizeof credentials;
  SYS(getsockopt(unconnected, SOL_SOCKET, SO_PEERCRED, &credentials, &size));
  CHECK_EQ(credentials.pid, 0);
  CHECK_EQ((int)credentials.uid, -1);

  int listener = SYS(socket(AF_UNIX, SOCK_STREAM, 0));
  struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "socket"};
  SYS(bind(listener, (struct sockaddr*)&name, sizeof name));
  SYS(listen(listener, 5));
  struct gate down = gate_make();
  for (int i = 0; i < 5; ++i) {
    child = guest_fork();
    if (child == 0) {
      int fd = SYS(socket(AF_UNIX, SOCK_STREAM, 0));
      SYS(connect(fd, (struct sockaddr*)&name, sizeof name));
      check(fd, self);
      gate_wait(&down);
      _exit(0);
    }
    int fd = SYS(accept(listener, NULL, NULL));
    check(fd, child);
    gate_open(&down);
    REAP(child);
    // The number stays with the socket after the peer has died.
    check(fd, child);
    close(fd);
  }
  // A shorter buffer gets the first bytes: the pid.
  pid_t only = 0;
  size = sizeof only;
  SYS(getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &only, &size));
  CHECK_EQ(size, sizeof only);
  CHECK_EQ(only, getpid());
  CHECK_ERRNO(getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, (void*)8, &size), EFAULT);
  return guest_pass();
}
