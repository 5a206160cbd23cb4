// Credentials over UNIX sockets for guests: messages with and without SCM_CREDENTIALS.
#pragma once
#include <sys/socket.h>
#include <sys/un.h>

#include "guest.h"

#ifndef SCM_PIDFD
#define SCM_PIDFD 0x04
#endif
#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

// Sends a byte; with credentials when given. The result and errno are sendmsg's.
__attribute__((unused)) static ssize_t creds_send(int fd, const struct ucred* credentials) {
  char byte = 'x';
  struct iovec part = {&byte, 1};
  union {
    char bytes[CMSG_SPACE(sizeof(struct ucred))];
    struct cmsghdr align;
  } control;
  memset(&control, 0, sizeof control);
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (credentials) {
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    struct cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_CREDENTIALS;
    header->cmsg_len = CMSG_LEN(sizeof *credentials);
    memcpy(CMSG_DATA(header), credentials, sizeof *credentials);
  }
  return sendmsg(fd, &message, 0);
}

// Receives a byte and finds its credentials; false when there are none.
__attribute__((unused)) static bool creds_receive(int fd, struct ucred* credentials) {
  char byte;
  struct iovec part = {&byte, 1};
  union {
    char bytes[256];
    struct cmsghdr align;
  } control;
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  CHECK_EQ(SYS(recvmsg(fd, &message, 0)), 1);
  CHECK_EQ(byte, 'x');
  for (struct cmsghdr* header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_CREDENTIALS) {
      CHECK_EQ(header->cmsg_len, CMSG_LEN(sizeof *credentials));
      memcpy(credentials, CMSG_DATA(header), sizeof *credentials);
      return true;
    }
  }
  return false;
}
