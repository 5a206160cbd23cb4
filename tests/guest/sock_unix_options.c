// Options of UNIX sockets: buffers, timeouts, what comes with a message, the offset of a peek; flags of the description; a
// filter on what is received.
#include <linux/filter.h>

#include "sock.h"

int main(void) {
  guest_begin();
  int pair[2];
  SYS(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
  set_option(pair[0], SOL_SOCKET, SO_SNDBUF, 50000);
  set_option(pair[0], SOL_SOCKET, SO_RCVBUF, 60000);
  set_option(pair[0], SOL_SOCKET, SO_PASSCRED, 1);
  set_option(pair[0], SOL_SOCKET, SO_PEEK_OFF, 3);
  set_option(pair[0], SOL_SOCKET, SO_PRIORITY, 4);
  set_option(pair[0], SOL_SOCKET, SO_TIMESTAMP, 1);
  struct timeval receive = {7, 500000}, send = {0, 40000};
  SYS(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &receive, sizeof receive));
  SYS(setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &send, sizeof send));
  struct linger linger = {1, 5};
  SYS(setsockopt(pair[1], SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
  struct sock_filter code[] = {BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 'n', 0, 1),
                               BPF_STMT(BPF_RET | BPF_K, 0), BPF_STMT(BPF_RET | BPF_K, 0xffffffff)};
  struct sock_fprog program = {4, code};
  SYS(setsockopt(pair[1], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
  SYS(fcntl(pair[1], F_SETFL, O_NONBLOCK));
  SYS(fcntl(pair[0], F_SETFD, FD_CLOEXEC));
  int send_buffer = option_of(pair[0], SOL_SOCKET, SO_SNDBUF), receive_buffer = option_of(pair[0], SOL_SOCKET, SO_RCVBUF);
  int other_buffer = option_of(pair[1], SOL_SOCKET, SO_SNDBUF);
  put(pair[1], "peeked at");
  char text[16] = "";
  CHECK_EQ(recv(pair[0], text, 2, MSG_PEEK), 2);
  CHECK_EQ(memcmp(text, "ke", 2), 0);
  for (int round = 0; round < 2; ++round) {
    guest_fence();
    CHECK_EQ(option_of(pair[0], SOL_SOCKET, SO_SNDBUF), send_buffer);
    CHECK_EQ(option_of(pair[0], SOL_SOCKET, SO_RCVBUF), receive_buffer);
    CHECK_EQ(option_of(pair[1], SOL_SOCKET, SO_SNDBUF), other_buffer);
    CHECK_EQ(option_of(pair[0], SOL_SOCKET, SO_PASSCRED), 1);
    CHECK_EQ(option_of(pair[1], SOL_SOCKET, SO_PASSCRED), 0);
    CHECK_EQ(option_of(pair[0], SOL_SOCKET, SO_PEEK_OFF), 5);
    CHECK_EQ(option_of(pair[1], SOL_SOCKET, SO_PEEK_OFF), -1);
    CHECK_EQ(option_of(pair[0], SOL_SOCKET, SO_PRIORITY), 4);
    CHECK_EQ(option_of(pair[0], SOL_SOCKET, SO_TIMESTAMP), 1);
    struct timeval time;
    socklen_t size = sizeof time;
    SYS(getsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &time, &size));
    CHECK_EQ(time.tv_sec, 7);
    CHECK_EQ(time.tv_usec, 500000);
    SYS(getsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &time, &size));
    CHECK_EQ(time.tv_usec, 40000);
    struct linger got;
    size = sizeof got;
    SYS(getsockopt(pair[1], SOL_SOCKET, SO_LINGER, &got, &size));
    CHECK_EQ(got.l_onoff, 1);
    CHECK_EQ(got.l_linger, 5);
    CHECK_EQ(fcntl(pair[1], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    CHECK_EQ(fcntl(pair[0], F_GETFL) & O_NONBLOCK, 0);
    CHECK_EQ(fcntl(pair[0], F_GETFD), FD_CLOEXEC);
    put(pair[0], "yes");
    put(pair[0], "no");
    take(pair[1], "yes");
    take_nothing(pair[1]);
  }
  CHECK_EQ(recv(pair[0], text, 4, MSG_PEEK), 4);
  CHECK_EQ(memcmp(text, "d at", 4), 0);
  CHECK_EQ(recv(pair[0], text, 16, 0), 9);
  CHECK_EQ(memcmp(text, "peeked at", 9), 0);
  return guest_pass();
}
