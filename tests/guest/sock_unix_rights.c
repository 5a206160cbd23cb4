// Descriptors in flight (SCM_RIGHTS): ones that nobody else holds, several in a message, beside plain data, sockets that hold
// messages themselves, and a socket in flight in its own queue.
#include "sock.h"

int main(void) {
  guest_begin();
  const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
  int pairs[3][2];
  int kept[3];
  for (int t = 0; t < 3; ++t) {
    SYS(socketpair(AF_UNIX, types[t], 0, pairs[t]));
    int ends[2];
    SYS(pipe(ends));
    CHECK_EQ(write(ends[1], "in flight", 9), 9);
    put(pairs[t][0], "before");
    put_fds(pairs[t][0], "pipe", ends, 2);
    close(ends[0]);
    close(ends[1]);
    put(pairs[t][0], "after");
    // The same file twice in a message, and open here too.
    write_file("file", "0123456789", 0600);
    kept[t] = SYS(open("file", O_RDONLY));
    char digit;
    CHECK_EQ(read(kept[t], &digit, 1), 1);
    int both[2] = {kept[t], kept[t]};
    put_fds(pairs[t][0], "file", both, 2);
    // A pair that is in flight altogether, with a message of its own.
    int inner[2];
    SYS(socketpair(AF_UNIX, types[t], 0, inner));
    put(inner[0], "innermost");
    put_fds(pairs[t][0], "pair", inner, 2);
    close(inner[0]);
    close(inner[1]);
  }
  // In itself: what one end has sent holds the end that is to receive it.
  int circle[2];
  SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, circle));
  put_fds(circle[0], "c", circle + 1, 1);
  put_fds(circle[1], "d", circle, 1);
  // And two that hold each other, with no descriptor left of one.
  int left[2], right[2];
  SYS(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, left));
  SYS(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, right));
  put_fds(left[0], "right", right + 1, 1);
  put_fds(right[0], "left", left + 1, 1);
  close(right[1]);
  guest_fence();
  for (int t = 0; t < 3; ++t) {
    int got[2];
    take(pairs[t][1], "before");
    take_fds(pairs[t][1], "pipe", got, 2);
    char text[16] = "";
    CHECK_EQ(read(got[0], text, sizeof text), 9);
    CHECK_STR(text, "in flight");
    close(got[1]);
    CHECK_EQ(read(got[0], text, sizeof text), 0);
    close(got[0]);
    take(pairs[t][1], "after");
    take_fds(pairs[t][1], "file", got, 2);
    char digit;
    CHECK_EQ(read(got[0], &digit, 1), 1);
    CHECK_EQ(digit, '1');
    CHECK_EQ(read(kept[t], &digit, 1), 1);
    CHECK_EQ(digit, '2');
    CHECK_EQ(lseek(got[1], 0, SEEK_CUR), 3);
    close(got[0]);
    close(got[1]);
    take_fds(pairs[t][1], "pair", got, 2);
    take(got[1], "innermost");
    put(got[1], "and back");
    take(got[0], "and back");
    close(got[0]);
    close(got[1]);
    take_nothing(pairs[t][1]);
  }
  int end;
  take_fds(circle[1], "c", &end, 1);
  put(circle[0], "through the copy");
  take(end, "through the copy");
  take_fds(circle[0], "d", &end, 1);
  put(end, "x");
  take(circle[1], "x");
  take_fds(left[1], "right", &end, 1);
  int other;
  take_fds(end, "left", &other, 1);
  put(left[0], "y");
  take(other, "y");
  return guest_pass();
}
