// Descriptors that carry pids: owners, locks, leases, terminals, peers.
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>

#include "calls.h"

static pid_t self, child, dead;

static void owners(int fd) {
  struct f_owner_ex owner;
  T(fcntl(fd, F_GETOWN));
  IS(fcntl(fd, F_SETOWN, self), 0);
  IS(fcntl(fd, F_GETOWN), self);
  T(fcntl(fd, F_GETOWN_EX, &owner));
  V(owner.type);
  IS(owner.pid, self);
  T(fcntl(fd, F_SETOWN, -getpgrp()));
  IS(fcntl(fd, F_GETOWN), -getpgrp());
  T(fcntl(fd, F_GETOWN_EX, &owner));
  V(owner.type);
  IS(owner.pid, getpgrp());
  T(fcntl(fd, F_SETOWN, kNobody));
  T(fcntl(fd, F_SETOWN, -kNobody));
  T(fcntl(fd, F_SETOWN, dead));
  T(fcntl(fd, F_SETOWN, INT_MIN));
  T(fcntl(fd, F_SETOWN, INT_MAX));
  T(fcntl(fd, F_SETOWN, child));
  IS(fcntl(fd, F_GETOWN), child);
  T(fcntl(fd, F_SETOWN, 0));
  T(fcntl(fd, F_GETOWN));
  T(fcntl(fd, F_GETOWN_EX, BAD));
  T(fcntl(fd, F_SETOWN_EX, BAD));
  T(fcntl(fd, F_GETOWN_EX, readable));
  for (int type = -1; type < 5; ++type) {
    pid_t pids[] = {0, self, child, dead, kNobody, -1, -self, INT_MIN};
    for (unsigned i = 0; i < sizeof pids / sizeof *pids; ++i) {
      owner.type = type;
      owner.pid = pids[i];
      errno = 0;
      int result = fcntl(fd, F_SETOWN_EX, &owner);
      struct f_owner_ex now = {9, 9};
      int got = fcntl(fd, F_GETOWN_EX, &now);
      printf("F_SETOWN_EX type %d pid %u = %d %d; then %d type %d %s\n", type, i, result, errno, got, now.type,
             now.pid == 0           ? "none"
             : now.pid == self      ? "self"
             : now.pid == child     ? "child"
             : now.pid == getpgrp() ? "group"
                                    : "other");
    }
  }
  T(fcntl(fd, F_SETSIG, SIGUSR1));
  T(fcntl(fd, F_GETSIG));
  T(fcntl(fd, F_SETSIG, 65));
  T(fcntl(fd, F_SETSIG, -1));
  T(fcntl(fd, F_SETSIG, 0));
  uid_t ids[2];
  T(fcntl(fd, 17, ids));  // F_GETOWNER_UIDS
}

static void locks(void) {
  int fd = open("locked", O_RDWR | O_CREAT, 0600);
  int go[2], up[2];
  (void)!pipe(go), (void)!pipe(up);
  pid_t holder = fork();
  if (holder == 0) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 5};
    fcntl(fd, F_SETLK, &lock);
    int other = open("locked", O_RDWR);
    lock.l_start = 100;
    fcntl(other, F_OFD_SETLK, &lock);
    char byte = 0;
    (void)!write(up[1], &byte, 1);
    (void)!read(go[0], &byte, 1);
    _exit(0);
  }
  char byte;
  (void)!read(up[0], &byte, 1);
  static const int commands[] = {F_GETLK, F_OFD_GETLK, F_SETLK, F_OFD_SETLK};
  for (unsigned c = 0; c < 4; ++c) {
    for (short type = -1; type < 5; ++type) {
      for (short whence = -1; whence < 4; ++whence) {
        for (long start = -1; start < 120; start += 11) {
          struct flock lock = {.l_type = type, .l_whence = whence, .l_start = start, .l_len = 3, .l_pid = 0};
          errno = 0;
          int result = fcntl(fd, commands[c], &lock);
          printf("lock %u type %d whence %d start %ld = %d %d; type %d start %ld len %ld %s\n", c, type, whence, start,
                 result, errno, lock.l_type, (long)lock.l_start, (long)lock.l_len,
                 lock.l_pid == holder ? "holder"
                 : lock.l_pid == 0    ? "0"
                 : lock.l_pid == -1   ? "-1"
                                      : "other");
        }
      }
    }
    T(fcntl(fd, commands[c], NONE));
    T(fcntl(fd, commands[c], BAD));
    T(fcntl(fd, commands[c], readable));
    T(fcntl(9999, commands[c], readable));
    struct flock lock = {.l_type = F_WRLCK, .l_start = 10, .l_len = 1, .l_pid = 77};
    T(fcntl(fd, commands[c], &lock));
    lock = (struct flock){.l_type = F_WRLCK, .l_start = LONG_MAX, .l_len = LONG_MAX};
    T(fcntl(fd, commands[c], &lock));
    lock = (struct flock){.l_type = F_RDLCK, .l_start = 5, .l_len = -9};
    T(fcntl(fd, commands[c], &lock));
  }
  int path = open("locked", O_PATH);
  struct flock lock = {.l_type = F_WRLCK};
  T(fcntl(path, F_GETLK, &lock));
  T(fcntl(path, F_GETOWN));
  T(fcntl(path, F_SETOWN, self));
  T(fcntl(fd, F_SETLEASE, F_WRLCK));
  T(fcntl(fd, F_GETLEASE));
  T(fcntl(fd, F_SETLEASE, 99));
  T(fcntl(fd, F_NOTIFY, 1));
  T(fcntl(fd, 9999));
  T(fcntl(fd, -1));
  T(flock(fd, LOCK_EX | LOCK_NB));
  T(flock(fd, 77));
  close(go[1]);
  kill(holder, SIGKILL);
  waitpid(holder, NULL, 0);
}

static void requests(int fd, const char* what) {
  printf("%s\n", what);
  pid_t pid = 77;
  T(ioctl(fd, TIOCGPGRP, &pid));
  T(ioctl(fd, TIOCGPGRP, BAD));
  T(ioctl(fd, TIOCGSID, &pid));
  T(ioctl(fd, TIOCGSID, BAD));
  pid = getpgrp();
  T(ioctl(fd, TIOCSPGRP, &pid));
  T(ioctl(fd, TIOCSPGRP, BAD));
  pid = kNobody;
  T(ioctl(fd, TIOCSPGRP, &pid));
  pid = -1;
  T(ioctl(fd, TIOCSPGRP, &pid));
  pid = 0;
  T(ioctl(fd, TIOCSPGRP, &pid));
  pid = self;
  T(ioctl(fd, FIOSETOWN, &pid));
  T(ioctl(fd, FIOGETOWN, &pid));
  T(ioctl(fd, SIOCSPGRP, &pid));
  T(ioctl(fd, SIOCGPGRP, &pid));
  T(ioctl(fd, SIOCSPGRP, BAD));
  T(ioctl(fd, SIOCGPGRP, BAD));
  pid = kNobody;
  T(ioctl(fd, SIOCSPGRP, &pid));
  pid = INT_MIN;
  T(ioctl(fd, SIOCSPGRP, &pid));
}

static void peers(void) {
  int pair[2];
  (void)!socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
  struct ucred peer;
  socklen_t size = sizeof peer;
  T(getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &peer, &size));
  V(size);
  IS(peer.pid, self);
  IS(peer.uid, getuid());
  size = 4;
  T(getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &peer, &size));
  V(size);
  size = 100;
  T(getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &peer, &size));
  V(size);
  size = 0;
  T(getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &peer, &size));
  size = (socklen_t)-1;
  T(getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &peer, &size));
  size = sizeof peer;
  T(getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, BAD, &size));
  T(getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &peer, BAD));
  T(getsockopt(9999, SOL_SOCKET, SO_PEERCRED, &peer, &size));
  T(getsockopt(1, SOL_SOCKET, SO_PEERCRED, &peer, &size));
  int path = open("/", O_PATH);
  T(getsockopt(path, SOL_SOCKET, SO_PEERCRED, &peer, &size));
  int lone = socket(AF_UNIX, SOCK_STREAM, 0);
  size = sizeof peer;
  T(getsockopt(lone, SOL_SOCKET, SO_PEERCRED, &peer, &size));
  V(peer.pid);
  V((int)peer.uid);
  int inet = socket(AF_INET, SOCK_DGRAM, 0);
  T(getsockopt(inet, SOL_SOCKET, SO_PEERCRED, &peer, &size));
  V(peer.pid);
  T(setsockopt(inet, SOL_SOCKET, SO_PEERCRED, &peer, sizeof peer));
  owners(pair[0]);
  requests(pair[0], "socket");
}

int main(void) {
  transcript_begin();
  self = getpid();
  signal(SIGHUP, SIG_IGN);
  setpgid(0, 0);
  dead = fork();
  if (dead == 0) {
    _exit(0);
  }
  waitpid(dead, NULL, 0);
  child = fork();
  if (child == 0) {
    for (;;) {
      pause();
    }
  }
  int ends[2];
  (void)!pipe(ends);
  int file = open("file", O_RDWR | O_CREAT, 0600);
  owners(ends[0]);
  owners(file);
  T(fcntl(9999, F_GETOWN));
  T(fcntl(9999, F_SETOWN, 0));
  T(fcntl(-1, F_SETOWN_EX, BAD));
  locks();
  requests(ends[0], "pipe");
  requests(file, "file");
  requests(9999, "no descriptor");
  int master = posix_openpt(O_RDWR | O_NOCTTY);
  requests(master, "master of a terminal that is not ours");
  peers();
  kill(child, SIGKILL);
  return 0;
}
