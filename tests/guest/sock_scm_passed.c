// Sockets that come to give credentials in the hands of others: the option is set by another process while this one
// waits in recvmsg, and on a socket that a process got through another socket; an accepted one has the option of its
// listener.
#include <pthread.h>

#include "creds.h"

static int shared_pair[2];

static void* wait_for_message(void* unused) {
  (void)unused;
  struct ucred got = {0};
  CHECK(creds_receive(shared_pair[0], &got));
  return (void*)(intptr_t)got.pid;
}

static void send_fd(int through, int fd) {
  char byte = 'f';
  struct iovec part = {&byte, 1};
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control;
  memset(&control, 0, sizeof control);
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  struct cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof fd);
  memcpy(CMSG_DATA(header), &fd, sizeof fd);
  CHECK_EQ(SYS(sendmsg(through, &message, 0)), 1);
}

static int receive_fd(int through) {
  char byte;
  struct iovec part = {&byte, 1};
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control;
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  CHECK_EQ(SYS(recvmsg(through, &message, 0)), 1);
  struct cmsghdr* header = CMSG_FIRSTHDR(&message);
  CHECK(header && header->cmsg_type == SCM_RIGHTS);
  int fd;
  memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return fd;
}

int main(void) {
  guest_begin();
  int on = 1;
  int channel[2];
  SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, channel));
  SYS(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, shared_pair));
  struct gate up = gate_make(), down = gate_make();

  // The receiver sleeps in recvmsg before anybody has asked for credentials; its sibling asks, then sends.
  pid_t receiver = guest_fork();
  if (receiver == 0) {
    pthread_t thread = guest_thread(wait_for_message, NULL);
    gate_open(&up);
    void* result;
    PTHREAD(pthread_join(thread, &result));
    CHECK_EQ((intptr_t)result, gate_receive(&down));
    // And a socket that was made elsewhere.
    int fd = receive_fd(channel[0]);
    struct ucred got = {0};
    CHECK(creds_receive(fd, &got));
    CHECK_EQ(got.pid, gate_receive(&down));
    _exit(0);
  }
  gate_wait(&up);
  for (bool asleep = false; !asleep;) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", (int)receiver);
    char state = task_state(receiver, receiver);
    asleep = state == 'S';
    sched_yield();
  }
  pid_t sibling = guest_fork();
  if (sibling == 0) {
    SYS(setsockopt(shared_pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
    CHECK_EQ(creds_send(shared_pair[1], NULL), 1);
    _exit(0);
  }
  REAP(sibling);
  gate_send(&down, sibling);
  int other[2];
  SYS(socketpair(AF_UNIX, SOCK_DGRAM, 0, other));
  SYS(setsockopt(other[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
  send_fd(channel[1], other[0]);
  CHECK_EQ(creds_send(other[1], NULL), 1);
  gate_send(&down, getpid());
  REAP(receiver);

  int listener = SYS(socket(AF_UNIX, SOCK_STREAM, 0));
  struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "socket"};
  SYS(bind(listener, (struct sockaddr*)&name, sizeof name));
  SYS(listen(listener, 5));
  pid_t client = guest_fork();
  if (client == 0) {
    int fd = SYS(socket(AF_UNIX, SOCK_STREAM, 0));
    SYS(connect(fd, (struct sockaddr*)&name, sizeof name));
    CHECK_EQ(creds_send(fd, NULL), 1);
    struct ucred mine = {getpid(), getuid(), getgid()};
    CHECK_EQ(creds_send(fd, &mine), 1);
    _exit(0);
  }
  int fd = SYS(accept(listener, NULL, NULL));
  SYS(setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
  REAP(client);
  struct ucred got = {0};
  CHECK(creds_receive(fd, &got));
  // Sent before the option was set, perhaps: then without an id (unix(7)).
  CHECK(got.pid == client || got.pid == 0);
  CHECK(creds_receive(fd, &got));
  CHECK_EQ(got.pid, client);
  return guest_pass();
}
