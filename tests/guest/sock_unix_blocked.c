// Processes that sleep in calls on UNIX sockets: accept, receive, send into a full socket, poll; with a timeout; by threads
// that share a socket. What is shared by fork and dup stays shared.
#include "sock.h"

static int shared_pair[2];

static void* receive_one(void* unused) {
  char byte = 0;
  CHECK_EQ(recv(shared_pair[0], &byte, 1, 0), 1);
  return (void*)(intptr_t)byte;
  (void)unused;
}

int main(void) {
  guest_begin();
  int listener = un_bound(SOCK_STREAM, "socket");
  SYS(listen(listener, 5));
  int full[2], plain[2], timed[2];
  SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, full));
  SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, plain));
  SYS(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, timed));
  SYS(socketpair(AF_UNIX, SOCK_DGRAM, 0, shared_pair));
  long filled = 0;
  static char block[5000];
  for (ssize_t now; (now = send(full[1], block, sizeof block, MSG_DONTWAIT)) > 0;) {
    filled += now;
  }
  pid_t children[4];
  for (int i = 0; i < 4; ++i) {
    children[i] = guest_fork();
    if (children[i] != 0) {
      continue;
    }
    if (i == 0) {
      int fd = SYS(accept(listener, NULL, NULL));
      take(fd, "accepted");
    } else if (i == 1) {
      char text[8];
      CHECK_EQ(recv(plain[0], text, 8, MSG_WAITALL), 8);
      CHECK_EQ(memcmp(text, "12345678", 8), 0);
    } else if (i == 2) {
      CHECK_EQ(send(full[1], block, 5000, 0), 5000);
    } else {
      struct timeval time = {60, 0};
      SYS(setsockopt(timed[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time));
      take(timed[0], "in time");
      struct pollfd poll_fd = {timed[0], POLLIN, 0};
      CHECK_EQ(poll(&poll_fd, 1, -1), 1);
      take(timed[0], "polled");
    }
    _exit(0);
  }
  pthread_t threads[3];
  for (int i = 0; i < 3; ++i) {
    threads[i] = guest_thread(receive_one, NULL);
  }
  for (int i = 0; i < 4; ++i) {
    wait_state(children[i], children[i], "S");
  }
  guest_fence();
  for (int i = 0; i < 4; ++i) {
    // A thaw may have packed what fills the socket closer, so that the sender has room.
    if (i != 2) {
      wait_state(children[i], children[i], "S");
    }
  }
  put(timed[1], "in time");
  guest_fence();
  int fd = un_client(SOCK_STREAM, "socket");
  put(fd, "accepted");
  REAP(children[0]);
  put(plain[1], "12345678");
  REAP(children[1]);
  for (long got = 0; got < filled + 5000;) {
    ssize_t now = SYS(recv(full[0], block, sizeof block, 0));
    got += now;
  }
  REAP(children[2]);
  put(timed[1], "polled");
  REAP(children[3]);
  long sum = 0;
  int copy = SYS(dup(shared_pair[1]));
  guest_fence();
  for (char letter = 'a'; letter < 'd'; ++letter) {
    CHECK_EQ(send(copy, &letter, 1, 0), 1);
  }
  for (int i = 0; i < 3; ++i) {
    void* result;
    PTHREAD(pthread_join(threads[i], &result));
    sum += (intptr_t)result;
  }
  CHECK_EQ(sum, 'a' + 'b' + 'c');
  SYS(fcntl(copy, F_SETFL, O_NONBLOCK));
  CHECK_EQ(fcntl(shared_pair[1], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
  return guest_pass();
}
