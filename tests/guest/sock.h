// Sockets for guests: short ways to make, name, fill and empty them.
#pragma once
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "guest.h"

// '@' in front stands for an abstract name.
__attribute__((unused)) static socklen_t un_name(struct sockaddr_un* name, const char* text) {
  memset(name, 0, sizeof *name);
  name->sun_family = AF_UNIX;
  size_t length = strlen(text);
  memcpy(name->sun_path, text, length);
  if (text[0] == '@') {
    name->sun_path[0] = '\0';
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
  }
  return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
}

__attribute__((unused)) static int un_bound(int type, const char* text) {
  struct sockaddr_un name;
  socklen_t size = un_name(&name, text);
  int fd = SYS(socket(AF_UNIX, type, 0));
  SYS(bind(fd, (struct sockaddr*)&name, size));
  return fd;
}

__attribute__((unused)) static int un_connect(int fd, const char* text) {
  struct sockaddr_un name;
  socklen_t size = un_name(&name, text);
  return connect(fd, (struct sockaddr*)&name, size);
}

__attribute__((unused)) static int un_client(int type, const char* text) {
  int fd = SYS(socket(AF_UNIX, type, 0));
  SYS(un_connect(fd, text));
  return fd;
}

static void un_check(const struct sockaddr_un* name, socklen_t size, const char* text) {
  struct sockaddr_un expected;
  socklen_t length = text[0] ? un_name(&expected, text) : sizeof(sa_family_t);
  CHECK_EQ(name->sun_family, AF_UNIX);
  CHECK_EQ(size, length);
  if (text[0]) {
    CHECK_EQ(memcmp(name, &expected, length), 0);
  }
}

// "" stands for no name.
__attribute__((unused)) static void un_check_own(int fd, const char* text) {
  struct sockaddr_un name;
  socklen_t size = sizeof name;
  SYS(getsockname(fd, (struct sockaddr*)&name, &size));
  un_check(&name, size, text);
}

__attribute__((unused)) static void un_check_peer(int fd, const char* text) {
  struct sockaddr_un name;
  socklen_t size = sizeof name;
  SYS(getpeername(fd, (struct sockaddr*)&name, &size));
  un_check(&name, size, text);
}

__attribute__((unused)) static void put(int fd, const char* text) {
  CHECK_EQ(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

// Exactly this comes next: a record, a datagram, or bytes of a stream.
__attribute__((unused)) static void take(int fd, const char* text) {
  char buffer[65536];
  size_t wanted = strlen(text);
  ssize_t got = recv(fd, buffer, wanted == 0 ? sizeof buffer : wanted, 0);
  if (got < 0) {
    FAIL("recv: errno %d, expected \"%s\"", errno, text);
  }
  CHECK_EQ(got, wanted);
  buffer[got] = '\0';
  CHECK_STR(buffer, text);
}

__attribute__((unused)) static void take_nothing(int fd) {
  char byte;
  CHECK_ERRNO(recv(fd, &byte, 1, MSG_DONTWAIT), EAGAIN);
}

__attribute__((unused)) static void take_end(int fd) {
  char byte;
  CHECK_EQ(recv(fd, &byte, 1, MSG_DONTWAIT), 0);
}

__attribute__((unused)) static short events_of(int fd) {
  struct pollfd poll_fd = {fd, POLLIN | POLLOUT | POLLRDHUP, 0};
  SYS(poll(&poll_fd, 1, 0));
  return poll_fd.revents;
}

__attribute__((unused)) static int option_of(int fd, int level, int option) {
  int value = 0;
  socklen_t size = sizeof value;
  SYS(getsockopt(fd, level, option, &value, &size));
  return value;
}

__attribute__((unused)) static void set_option(int fd, int level, int option, int value) {
  SYS(setsockopt(fd, level, option, &value, sizeof value));
}

// A message with descriptors; one byte when `text` is empty.
__attribute__((unused)) static void put_fds(int socket, const char* text, const int* fds, int count) {
  struct iovec part = {(void*)(uintptr_t)text, strlen(text)};
  union {
    char bytes[CMSG_SPACE(16 * sizeof(int))];
    struct cmsghdr align;
  } control;
  memset(&control, 0, sizeof control);
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes};
  message.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
  struct cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
  memcpy(CMSG_DATA(header), fds, (size_t)count * sizeof(int));
  CHECK_EQ(SYS(sendmsg(socket, &message, 0)), strlen(text));
}

// Takes a message with exactly so many descriptors.
__attribute__((unused)) static void take_fds(int socket, const char* text, int* fds, int count) {
  char buffer[256];
  struct iovec part = {buffer, strlen(text)};
  union {
    char bytes[CMSG_SPACE(16 * sizeof(int))];
    struct cmsghdr align;
  } control;
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  CHECK_EQ(SYS(recvmsg(socket, &message, 0)), strlen(text));
  CHECK_EQ(memcmp(buffer, text, strlen(text)), 0);
  struct cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (count == 0) {
    CHECK(header == NULL);
    return;
  }
  if (header == NULL || header->cmsg_type != SCM_RIGHTS) {
    FAIL("no descriptors came with \"%s\"", text);
  }
  CHECK_EQ(header->cmsg_len, CMSG_LEN((size_t)count * sizeof(int)));
  memcpy(fds, CMSG_DATA(header), (size_t)count * sizeof(int));
}
