// Signals that come when a call on a socket has just been made end its wait, or come before it: none stays blocked for
// as long as the call waits.
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "guest.h"

enum { kRounds = 1000 };

static struct gate handled;

static void handler(int signal, siginfo_t* info, void* context) {
  (void)signal, (void)info, (void)context;
  gate_open(&handled);
}

static void wait_at(int kind, int fd) {
  struct sockaddr_storage from;
  socklen_t size = sizeof from;
  char byte;
  for (;;) {
    long got = kind == 0   ? accept(fd, NULL, NULL)
               : kind == 1 ? accept4(fd, (struct sockaddr*)&from, &size, SOCK_CLOEXEC)
                           : recvfrom(fd, &byte, 1, 0, (struct sockaddr*)&from, &size);
    CHECK_EQ(got, -1);
    CHECK_EQ(errno, EINTR);
    size = sizeof from;
  }
}

static int socket_of(int family, int type, const char* path) {
  int fd = SYS(socket(family, type | SOCK_CLOEXEC, 0));
  if (family == AF_UNIX) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    snprintf(name.sun_path, sizeof name.sun_path, "%s", path);
    SYS(bind(fd, (struct sockaddr*)&name, sizeof name));
  } else {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    SYS(bind(fd, (struct sockaddr*)&name, sizeof name));
  }
  if (type == SOCK_STREAM) {
    SYS(listen(fd, 1));
  }
  return fd;
}

int main(void) {
  guest_begin();
  handled = gate_make();
  for (int flags = 0; flags <= SA_RESTART; flags += SA_RESTART) {
    for (int kind = 0; kind < 6; ++kind) {
      char path[16];
      snprintf(path, sizeof path, "%d-%d", kind, flags != 0);
      int fd = socket_of(kind < 3 ? AF_UNIX : AF_INET, kind % 3 == 2 ? SOCK_DGRAM : SOCK_STREAM, path);
      struct gate ready = gate_make();
      pid_t child = guest_fork();
      if (child == 0) {
        guest_handle(SIGUSR1, handler, flags);
        gate_open(&ready);
        wait_at(kind % 3, fd);
      }
      gate_wait(&ready);
      for (int round = 0; round < kRounds; ++round) {
        for (volatile int spin = round * 37 % 20000; spin > 0; --spin) {
        }
        SYS(kill(child, SIGUSR1));
        gate_wait(&handled);
      }
      SYS(kill(child, SIGKILL));
      REAP_SIGNAL(child, SIGKILL);
      SYS(close(fd));
      gate_close(&ready);
    }
  }
  return guest_pass();
}
