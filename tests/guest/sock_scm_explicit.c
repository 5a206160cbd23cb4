// SCM_CREDENTIALS sent explicitly: one's own pid, a wrong one refused, an unknown one refused.
#include "creds.h"

int main(void) {
  guest_begin();
  int pair[2], on = 1;
  SYS(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
  SYS(setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
  struct ucred mine = {getpid(), getuid(), getgid()}, got = {0};
  CHECK_EQ(creds_send(pair[1], &mine), 1);
  CHECK(creds_receive(pair[0], &got));
  CHECK_EQ(got.pid, getpid());
  CHECK_EQ(got.uid, getuid());
  CHECK_EQ(got.gid, getgid());
  pid_t child = guest_fork();
  if (child == 0) {
    mine.pid = getpid();
    CHECK_EQ(creds_send(pair[1], &mine), 1);
    // Only CAP_SYS_ADMIN may name another's pid, and it must be somebody's.
    struct ucred parents = {getppid(), getuid(), getgid()};
    ssize_t sent = creds_send(pair[1], &parents);
    if (sent == 1) {
      CHECK_EQ(geteuid(), 0);
    } else {
      CHECK_EQ(errno, EPERM);
      creds_send(pair[1], NULL);
    }
    struct ucred nobody = {0x3fffffff, getuid(), getgid()};
    sent = creds_send(pair[1], &nobody);
    CHECK_EQ(sent, -1);
    CHECK(errno == EPERM || (errno == ESRCH && geteuid() == 0));
    struct ucred foreign = {getpid(), getuid() + 1, getgid()};
    if (geteuid() != 0) {
      CHECK_ERRNO(creds_send(pair[1], &foreign), EPERM);
    }
    _exit(0);
  }
  CHECK(creds_receive(pair[0], &got));
  CHECK_EQ(got.pid, child);
  CHECK(creds_receive(pair[0], &got));
  CHECK(got.pid == child || got.pid == getpid());
  REAP(child);
  return guest_pass();
}
