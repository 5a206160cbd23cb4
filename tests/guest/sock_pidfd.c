// SO_PEERPIDFD and SCM_PIDFD: pidfds of the peer and of the sender, whose fdinfo names them.
#include "creds.h"

static long pid_of(int pidfd) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
  return status_field(path, "Pid");
}

int main(void) {
  guest_begin();
  int pair[2], on = 1;
  SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  int pidfd = -1;
  socklen_t size = sizeof pidfd;
  if (getsockopt(pair[0], SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) != 0) {
    FAIL("SO_PEERPIDFD: errno %d: this guest needs a kernel of Linux 6.5 or later", errno);
  }
  CHECK_EQ(pid_of(pidfd), getpid());
  CHECK_EQ(fcntl(pidfd, F_GETFD), FD_CLOEXEC);
  SYS(syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0));
  close(pidfd);

  SYS(setsockopt(pair[0], SOL_SOCKET, SO_PASSPIDFD, &on, sizeof on));
  struct gate down = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    CHECK_EQ(write(pair[1], "x", 1), 1);
    gate_wait(&down);
    _exit(6);
  }
  char byte;
  struct iovec part = {&byte, 1};
  union {
    char bytes[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
    struct cmsghdr align;
  } control;
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  CHECK_EQ(SYS(recvmsg(pair[0], &message, 0)), 1);
  struct cmsghdr* header = CMSG_FIRSTHDR(&message);
  CHECK(header && header->cmsg_type == SCM_PIDFD);
  memcpy(&pidfd, CMSG_DATA(header), sizeof pidfd);
  CHECK_EQ(pid_of(pidfd), child);
  gate_open(&down);
  siginfo_t info = {0};
  SYS(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED));
  CHECK_EQ(info.si_pid, child);
  CHECK_EQ(info.si_status, 6);
  return guest_pass();
}
