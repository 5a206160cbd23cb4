// Who sent it and who is at the other end, across a freeze: SCM_CREDENTIALS of senders that live and that are gone, SO_PEERCRED.
#include "creds.h"
#include "sock.h"

static pid_t peer_of(int fd) {
  struct ucred peer;
  socklen_t size = sizeof peer;
  SYS(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size));
  CHECK_EQ(peer.uid, geteuid());
  CHECK_EQ(peer.gid, getegid());
  return peer.pid;
}

int main(void) {
  guest_begin();
  const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
  int pairs[3][2];
  pid_t senders[3][4];
  struct gate down = gate_make();
  for (int t = 0; t < 3; ++t) {
    SYS(socketpair(AF_UNIX, types[t], 0, pairs[t]));
    // Sent before the option was set: nobody's name is on it.
    CHECK_EQ(write(pairs[t][1], "x", 1), 1);
    set_option(pairs[t][0], SOL_SOCKET, SO_PASSCRED, 1);
    for (int i = 0; i < 4; ++i) {
      struct gate sent = gate_make();
      senders[t][i] = guest_fork();
      if (senders[t][i] == 0) {
        CHECK_EQ(creds_send(pairs[t][1], NULL), 1);
        gate_open(&sent);
        if (i % 2 == 0) {
          gate_wait(&down);
        }
        _exit(0);
      }
      gate_wait(&sent);
      gate_close(&sent);
      if (i % 2) {
        REAP(senders[t][i]);
      }
    }
  }
  int listener = un_bound(SOCK_STREAM, "socket");
  SYS(listen(listener, 5));
  struct gate connected = gate_make();
  pid_t client = guest_fork();
  if (client == 0) {
    int fd = un_client(SOCK_STREAM, "socket");
    gate_open(&connected);
    gate_wait(&down);
    CHECK_EQ(peer_of(fd), getppid());
    _exit(0);
  }
  gate_wait(&connected);
  int server = SYS(accept(listener, NULL, NULL));
  CHECK_EQ(peer_of(server), client);
  guest_fence();
  CHECK_EQ(peer_of(server), client);
  CHECK_EQ(peer_of(listener), getpid());
  for (int t = 0; t < 3; ++t) {
    CHECK_EQ(option_of(pairs[t][0], SOL_SOCKET, SO_PASSCRED), 1);
    CHECK_EQ(option_of(pairs[t][1], SOL_SOCKET, SO_PASSCRED), 0);
    CHECK_EQ(peer_of(pairs[t][0]), getpid());
    CHECK_EQ(peer_of(pairs[t][1]), getpid());
    struct ucred got = {0};
    CHECK(creds_receive(pairs[t][0], &got));
    CHECK_EQ(got.pid, 0);
    for (int i = 0; i < 4; ++i) {
      CHECK(creds_receive(pairs[t][0], &got));
      CHECK_EQ(got.pid, senders[t][i]);
      CHECK_EQ(got.uid, getuid());
    }
    take_nothing(pairs[t][0]);
    CHECK_EQ(creds_send(pairs[t][1], NULL), 1);
    CHECK(creds_receive(pairs[t][0], &got));
    CHECK_EQ(got.pid, getpid());
  }
  // Whoever connects now is shown the listener, and shown to it.
  int fd = un_client(SOCK_STREAM, "socket");
  CHECK_EQ(peer_of(fd), getpid());
  int again = SYS(accept(listener, NULL, NULL));
  CHECK_EQ(peer_of(again), getpid());
  for (int i = 0; i < 7; ++i) {
    gate_open(&down);
  }
  for (int t = 0; t < 3; ++t) {
    REAP(senders[t][0]);
    REAP(senders[t][2]);
  }
  REAP(client);
  return guest_pass();
}
