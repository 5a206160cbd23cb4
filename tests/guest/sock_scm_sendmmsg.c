// sendmmsg with credentials in some messages, in none, and in all; into a full socket; from several threads.
#include "creds.h"

enum { kMany = 6 };

static struct mmsghdr messages[kMany];
static struct iovec parts[kMany];
static union {
  char bytes[CMSG_SPACE(sizeof(struct ucred))];
  struct cmsghdr align;
} controls[kMany];

// Message i has the byte 'a' + i, and credentials where bit i is set.
static void fill(unsigned with) {
  static char letters[kMany];
  memset(messages, 0, sizeof messages);
  for (int i = 0; i < kMany; ++i) {
    letters[i] = (char)('a' + i);
    parts[i] = (struct iovec){&letters[i], 1};
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
    messages[i].msg_len = 77;
    if ((with >> i & 1) == 0) {
      continue;
    }
    messages[i].msg_hdr.msg_control = controls[i].bytes;
    messages[i].msg_hdr.msg_controllen = sizeof controls[i].bytes;
    struct cmsghdr* header = CMSG_FIRSTHDR(&messages[i].msg_hdr);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_CREDENTIALS;
    header->cmsg_len = CMSG_LEN(sizeof(struct ucred));
    struct ucred mine = {getpid(), getuid(), getgid()};
    memcpy(CMSG_DATA(header), &mine, sizeof mine);
  }
}

static void expect(int fd, char letter, pid_t pid) {
  char byte;
  struct iovec part = {&byte, 1};
  union {
    char bytes[256];
    struct cmsghdr align;
  } control;
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  CHECK_EQ(SYS(recvmsg(fd, &message, 0)), 1);
  CHECK_EQ(byte, letter);
  struct cmsghdr* header = CMSG_FIRSTHDR(&message);
  CHECK(header && header->cmsg_type == SCM_CREDENTIALS);
  struct ucred got;
  memcpy(&got, CMSG_DATA(header), sizeof got);
  CHECK_EQ(got.pid, pid);
}

// As the man page has it: again with the rest, when not all went out.
static void send_all(int fd) {
  int sent = 0;
  while (sent < kMany) {
    int now = SYS(sendmmsg(fd, messages + sent, (unsigned)(kMany - sent), 0));
    CHECK(now > 0);
    for (int i = 0; i < now; ++i) {
      CHECK_EQ(messages[sent + i].msg_len, 1);
    }
    sent += now;
  }
}

int main(void) {
  guest_begin();
  const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
  for (int t = 0; t < 3; ++t) {
    int pair[2], on = 1;
    SYS(socketpair(AF_UNIX, types[t], 0, pair));
    SYS(setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
    const unsigned masks[] = {0x3f, 0, 0x15, 0x2a, 0x20, 0x01};
    for (size_t m = 0; m < sizeof masks / sizeof *masks; ++m) {
      fill(masks[m]);
      send_all(pair[1]);
      for (int i = 0; i < kMany; ++i) {
        struct ucred mine;
        if (masks[m] >> i & 1) {
          memcpy(&mine, CMSG_DATA(&controls[i].align), sizeof mine);
          CHECK_EQ(mine.pid, getpid());
        }
        expect(pair[0], (char)('a' + i), getpid());
      }
    }
    // A foreign id in the first refuses the call; in a later one it ends it there.
    fill(0x3f);
    ((struct ucred*)CMSG_DATA(&controls[0].align))->pid = 0x3fffffff;
    CHECK_EQ(sendmmsg(pair[1], messages, kMany, 0), -1);
    CHECK(errno == EPERM || (errno == ESRCH && geteuid() == 0));
    fill(0x3f);
    ((struct ucred*)CMSG_DATA(&controls[2].align))->pid = 0x3fffffff;
    CHECK_EQ(sendmmsg(pair[1], messages, kMany, 0), 2);
    expect(pair[0], 'a', getpid());
    expect(pair[0], 'b', getpid());
    // A full socket takes what it can.
    fill(0x3f);
    int flags = SYS(fcntl(pair[1], F_GETFL));
    SYS(fcntl(pair[1], F_SETFL, flags | O_NONBLOCK));
    int queued = 0;
    for (;;) {
      int now = sendmmsg(pair[1], messages, kMany, 0);
      if (now < 0) {
        CHECK_EQ(errno, EAGAIN);
        break;
      }
      queued += now;
      if (now < kMany) {
        break;
      }
    }
    CHECK(queued > 0);
    for (int i = 0; i < queued; ++i) {
      expect(pair[0], (char)('a' + i % kMany), getpid());
    }
    // With nobody at the other end.
    SYS(fcntl(pair[1], F_SETFL, flags));
    close(pair[0]);
    fill(0x3f);
    CHECK_EQ(sendmmsg(pair[1], messages, kMany, MSG_NOSIGNAL), -1);
    CHECK(errno == EPIPE || errno == ECONNREFUSED);
    close(pair[1]);
  }
  return guest_pass();
}
