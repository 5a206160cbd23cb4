// Credentials with descriptors beside them, by recvmmsg, with MSG_PEEK, and into a control buffer that is too small.
#include "creds.h"

int main(void) {
  guest_begin();
  int pair[2], on = 1;
  SYS(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
  SYS(setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));

  // With SCM_RIGHTS in the same message.
  int pipe_fd[2];
  SYS(pipe(pipe_fd));
  char byte = 'x';
  struct iovec part = {&byte, 1};
  union {
    char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(2 * sizeof(int))];
    struct cmsghdr align;
  } control;
  memset(&control, 0, sizeof control);
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  struct cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof pipe_fd);
  memcpy(CMSG_DATA(header), pipe_fd, sizeof pipe_fd);
  header = CMSG_NXTHDR(&message, header);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_CREDENTIALS;
  header->cmsg_len = CMSG_LEN(sizeof(struct ucred));
  struct ucred mine = {getpid(), getuid(), getgid()}, got = {0};
  memcpy(CMSG_DATA(header), &mine, sizeof mine);
  CHECK_EQ(SYS(sendmsg(pair[1], &message, 0)), 1);
  // The sender's buffer is as it was: nobody translated in place.
  struct ucred after;
  memcpy(&after, CMSG_DATA(header), sizeof after);
  CHECK_EQ(after.pid, getpid());

  for (int round = 0; round < 2; ++round) {
    memset(&control, 0, sizeof control);
    message.msg_controllen = sizeof control.bytes;
    CHECK_EQ(SYS(recvmsg(pair[0], &message, round == 0 ? MSG_PEEK : 0)), 1);
    bool rights = false, credentials = false;
    for (header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
      if (header->cmsg_type == SCM_RIGHTS) {
        int received[2];
        memcpy(received, CMSG_DATA(header), sizeof received);
        CHECK_EQ(write(received[1], "z", 1), 1);
        char letter;
        CHECK_EQ(read(pipe_fd[0], &letter, 1), 1);
        close(received[0]);
        close(received[1]);
        rights = true;
      } else if (header->cmsg_type == SCM_CREDENTIALS) {
        memcpy(&got, CMSG_DATA(header), sizeof got);
        CHECK_EQ(got.pid, getpid());
        credentials = true;
      }
    }
    CHECK(rights && credentials);
  }

  // Several senders, one recvmmsg.
  pid_t children[4];
  for (int i = 0; i < 4; ++i) {
    children[i] = guest_fork();
    if (children[i] == 0) {
      CHECK_EQ(creds_send(pair[1], NULL), 1);
      _exit(0);
    }
    REAP(children[i]);
  }
  struct mmsghdr many[4];
  struct iovec parts[4];
  char bytes[4];
  static union {
    char bytes[CMSG_SPACE(sizeof(struct ucred))];
    struct cmsghdr align;
  } controls[4];
  memset(many, 0, sizeof many);
  for (int i = 0; i < 4; ++i) {
    parts[i] = (struct iovec){&bytes[i], 1};
    many[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i],
                                      .msg_iovlen = 1,
                                      .msg_control = controls[i].bytes,
                                      .msg_controllen = sizeof controls[i].bytes};
  }
  CHECK_EQ(recvmmsg(pair[0], many, 4, 0, NULL), 4);
  for (int i = 0; i < 4; ++i) {
    header = CMSG_FIRSTHDR(&many[i].msg_hdr);
    CHECK(header && header->cmsg_type == SCM_CREDENTIALS);
    memcpy(&got, CMSG_DATA(header), sizeof got);
    CHECK_EQ(got.pid, children[i]);
  }

  // Too small a buffer: truncated, and nothing is written beyond it.
  CHECK_EQ(creds_send(pair[1], NULL), 1);
  char small[64];
  memset(small, 0x5a, sizeof small);
  message = (struct msghdr){.msg_iov = &part, .msg_iovlen = 1, .msg_control = small, .msg_controllen = 20};
  CHECK_EQ(SYS(recvmsg(pair[0], &message, 0)), 1);
  CHECK(message.msg_flags & MSG_CTRUNC);
  for (int i = 20; i < 64; ++i) {
    CHECK_EQ(small[i], 0x5a);
  }
  pid_t short_pid;
  memcpy(&short_pid, small + sizeof(struct cmsghdr), sizeof short_pid);
  CHECK_EQ(short_pid, getpid());
  return guest_pass();
}
