// A signalfd that is inherited, passed over a socket and kept over an exec still gives the reader's own signals with
// the virtual sender; a blocking read of it is woken.
#include <sys/signalfd.h>
#include <sys/socket.h>

#include "guest.h"

static void take(int fd, pid_t from) {
  struct signalfd_siginfo info;
  CHECK_EQ(read(fd, &info, sizeof info), sizeof info);
  CHECK_EQ(info.ssi_signo, SIGUSR1);
  CHECK_EQ(info.ssi_pid, from);
}

int main(int argc, char** argv) {
  guest_begin();
  if (argc == 2) {
    // Kept over the exec, with the signal blocked as it was.
    SYS(kill(getpid(), SIGUSR1));
    take(atoi(argv[1]), getpid());
    return 0;
  }
  guest_block(SIGUSR1);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  int fd = SYS(signalfd(-1, &set, 0));
  pid_t self = getpid();

  // Inherited; the parent's signal wakes the child's blocking read.
  pid_t child = guest_fork();
  if (child == 0) {
    take(fd, self);
    _exit(0);
  }
  wait_state(child, child, "S");
  SYS(kill(child, SIGUSR1));
  REAP(child);

  // Over an exec.
  child = guest_fork();
  if (child == 0) {
    char number[16];
    snprintf(number, sizeof number, "%d", fd);
    execl("/proc/self/exe", argv[0], number, (char*)NULL);
    _exit(127);
  }
  REAP(child);

  // Over a socket.
  int pair[2];
  SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  child = guest_fork();
  if (child == 0) {
    char byte, control[CMSG_SPACE(sizeof(int))];
    struct iovec part = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    CHECK_EQ(recvmsg(pair[1], &message, 0), 1);
    int got;
    memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof got);
    SYS(close(fd));
    SYS(kill(getpid(), SIGUSR1));
    take(got, getpid());
    _exit(0);
  }
  char byte = 'x';
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control;
  memset(&control, 0, sizeof control);
  struct iovec part = {&byte, 1};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  struct cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &fd, sizeof fd);
  CHECK_EQ(sendmsg(pair[0], &message, 0), 1);
  REAP(child);
  return guest_pass();
}
