// SO_PASSCRED: the kernel adds the sender's credentials by itself; stream, datagram and seqpacket; each sender's own.
#include "creds.h"

int main(void) {
  guest_begin();
  const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
  for (int t = 0; t < 3; ++t) {
    int pair[2], on = 1;
    SYS(socketpair(AF_UNIX, types[t], 0, pair));
    SYS(setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
    struct ucred got = {0};
    CHECK_EQ(creds_send(pair[1], NULL), 1);
    CHECK(creds_receive(pair[0], &got));
    CHECK_EQ(got.pid, getpid());
    CHECK_EQ(got.uid, getuid());
    CHECK_EQ(got.gid, getgid());
    for (int i = 0; i < 10; ++i) {
      pid_t child = guest_fork();
      if (child == 0) {
        if (i % 2) {
          CHECK_EQ(write(pair[1], "x", 1), 1);
        } else {
          CHECK_EQ(send(pair[1], "x", 1, 0), 1);
        }
        _exit(0);
      }
      // Also after the sender is gone.
      REAP(child);
      CHECK(creds_receive(pair[0], &got));
      CHECK_EQ(got.pid, child);
    }
    // The other side asked for none and gets none.
    CHECK_EQ(creds_send(pair[0], NULL), 1);
    CHECK(!creds_receive(pair[1], &got));
    close(pair[0]);
    close(pair[1]);
  }
  return guest_pass();
}
