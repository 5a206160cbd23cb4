// SIGKILL of processes that block in calls: wait, read, FIFO open, futex, flock, sleep, poll, accept, sigwait, pause.
#include <linux/futex.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "guest.h"

static struct gate never;
static int lock_fd, listener;

static void block(int way) {
  sigset_t set;
  int word = 0;
  char byte;
  switch (way) {
    case 0:
      if (fork() == 0) {
        pause();
      }
      wait(NULL);
      break;
    case 1:
      if (read(never.fd[0], &byte, 1) < 0) {
        break;
      }
      break;
    case 2:
      open("fifo", O_RDONLY);
      break;
    case 3:
      syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0);
      break;
    case 4: {
      int fd = open("lock", O_RDWR);
      flock(fd, LOCK_EX);
      break;
    }
    case 5: {
      struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
      int fd = open("lock", O_RDWR);
      fcntl(fd, F_SETLKW, &lock);
      break;
    }
    case 6:
      sleep(1000);
      break;
    case 7: {
      struct pollfd poll_fd = {.fd = never.fd[0], .events = POLLIN};
      poll(&poll_fd, 1, -1);
      break;
    }
    case 8:
      accept(listener, NULL, NULL);
      break;
    case 9:
      sigemptyset(&set);
      sigaddset(&set, SIGUSR1);
      pthread_sigmask(SIG_BLOCK, &set, NULL);
      sigwaitinfo(&set, NULL);
      break;
    case 10:
      pause();
      break;
    case 11: {
      siginfo_t info;
      if (fork() == 0) {
        pause();
      }
      waitid(P_ALL, 0, &info, WEXITED);
      break;
    }
    case 12:
      if (vfork() == 0) {
        for (;;) {
          pause();
        }
      }
      break;
    default:
      break;
  }
  _exit(99);
}

int main(void) {
  guest_begin();
  SYS(prctl(PR_SET_CHILD_SUBREAPER, 1));
  never = gate_make();
  SYS(mkfifo("fifo", 0600));
  write_file("lock", "", 0600);
  lock_fd = SYS(open("lock", O_RDWR | O_CLOEXEC));
  listener = SYS(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "socket"};
  SYS(bind(listener, (struct sockaddr*)&name, sizeof name));
  SYS(listen(listener, 1));
  SYS(flock(lock_fd, LOCK_EX));
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  SYS(fcntl(lock_fd, F_SETLK, &lock));
  for (int way = 0; way < 13; ++way) {
    pid_t child = guest_fork();
    if (child == 0) {
      setpgid(0, 0);
      block(way);
    }
    setpgid(child, child);
    // Asleep: in the call itself or, shortly before, on the way to it. Both must end.
    wait_state(child, child, "SD");
    SYS(kill(-child, SIGKILL));
    REAP_SIGNAL(child, SIGKILL);
    while (wait(NULL) > 0) {
    }
  }
  return guest_pass();
}
