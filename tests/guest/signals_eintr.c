// Without SA_RESTART each blocking call ends with EINTR; with it those that restart go on until they have their result.
#include <linux/futex.h>
#include <sys/epoll.h>
#include <sys/file.h>

#include "guest.h"

static volatile sig_atomic_t hits;
static struct gate never, release;

static void handler(int signal, siginfo_t* info, void* context) {
  (void)signal;
  (void)info;
  (void)context;
  hits = hits + 1;
}

enum way {
  kWait,
  kWaitid,
  kRead,
  kFlock,
  kLock,
  kNanosleep,
  kPoll,
  kEpoll,
  kPause,
  kSigtimedwait,
  kFutex,
  kFifo,
  kWays
};

// True when the call ended with EINTR; false when it went on until the helper released it.
static bool block(enum way way, pid_t child) {
  struct timespec hour = {3600, 0};
  siginfo_t info;
  int fd, result = 0;
  long value;
  int word = 0;
  sigset_t set;
  errno = 0;
  switch (way) {
    case kWait:
      result = waitid(P_PID, (id_t)child, NULL, WEXITED | WNOWAIT);
      break;
    case kWaitid:
      result = waitid(P_ALL, 0, &info, WEXITED | WNOWAIT);
      break;
    case kRead:
      result = (int)read(release.fd[0], &value, sizeof value);
      break;
    case kFlock:
      fd = SYS(open("lock", O_RDWR | O_CLOEXEC));
      result = flock(fd, LOCK_EX);
      break;
    case kLock: {
      struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
      fd = SYS(open("lock", O_RDWR | O_CLOEXEC));
      result = fcntl(fd, F_SETLKW, &lock);
      break;
    }
    case kNanosleep: {
      struct timespec left = {0, 0};
      result = nanosleep(&hour, &left);
      CHECK(left.tv_sec > 3000 && left.tv_sec <= 3600);
      break;
    }
    case kPoll: {
      struct pollfd poll_fd = {.fd = never.fd[0], .events = POLLIN};
      result = poll(&poll_fd, 1, -1);
      break;
    }
    case kEpoll: {
      int epoll = SYS(epoll_create1(EPOLL_CLOEXEC));
      struct epoll_event event;
      result = epoll_wait(epoll, &event, 1, -1);
      int error = errno;
      close(epoll);
      errno = error;
      break;
    }
    case kPause:
      result = pause();
      break;
    case kSigtimedwait:
      sigemptyset(&set);
      sigaddset(&set, SIGUSR2);
      result = sigtimedwait(&set, &info, &hour);
      break;
    case kFutex:
      result = (int)syscall(SYS_futex, &word, FUTEX_WAIT, 0, &hour, NULL, 0);
      break;
    case kFifo:
      result = open("fifo", O_RDONLY | O_CLOEXEC);
      break;
    case kWays:
      break;
  }
  if (result >= 0) {
    return false;
  }
  CHECK_EQ(errno, EINTR);
  return true;
}

int main(void) {
  guest_begin();
  never = gate_make();
  SYS(mkfifo("fifo", 0600));
  write_file("lock", "", 0600);
  for (int restart = 0; restart < 2; ++restart) {
    for (enum way way = kWait; way < kWays; ++way) {
      // These end with EINTR whatever the handler's flags: signal(7).
      bool always = way == kNanosleep || way == kPoll || way == kEpoll || way == kPause || way == kSigtimedwait;
      if (restart && (always || way == kFutex)) {
        continue;
      }
      hits = 0;
      release = gate_make();
      struct gate ready = gate_make(), told = gate_make();
      pid_t sleeper = guest_fork();
      if (sleeper == 0) {
        struct gate held = gate_make();
        // Something to wait for and somebody who holds the locks.
        pid_t child = guest_fork();
        if (child == 0) {
          int fd = SYS(open("lock", O_RDWR | O_CLOEXEC));
          struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
          SYS(flock(fd, LOCK_EX));
          SYS(fcntl(fd, F_SETLK, &lock));
          gate_open(&held);
          gate_wait(&told);
          _exit(0);
        }
        gate_wait(&held);
        guest_handle(SIGUSR1, handler, restart ? SA_RESTART : 0);
        gate_open(&ready);
        bool interrupted = block(way, child);
        signal(SIGUSR1, SIG_IGN);
        CHECK(hits > 0);
        CHECK_EQ(interrupted, !restart);
        if (interrupted) {
          gate_open(&told);
        }
        REAP(child);
        _exit(0);
      }
      gate_wait(&ready);
      // Nobody can tell from outside that it is this call that the process sleeps in, so the signal comes repeatedly.
      if (restart) {
        for (int i = 0; i < 20; ++i) {
          wait_state(sleeper, sleeper, "S");
          SYS(kill(sleeper, SIGUSR1));
        }
        gate_open(&told);
        if (way == kRead) {
          gate_open(&release);
        } else if (way == kFifo) {
          SYS(close(SYS(open("fifo", O_WRONLY | O_CLOEXEC))));
        }
      } else {
        siginfo_t info = {0};
        while (waitid(P_PID, (id_t)sleeper, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0) {
          SYS(kill(sleeper, SIGUSR1));
          sched_yield();
        }
      }
      REAP(sleeper);
      gate_close(&release);
      gate_close(&ready);
      gate_close(&told);
    }
  }
  return guest_pass();
}
