// What every guest shares: checks that name file, line, got and expected; a deadline; waiting for events without sleeping.
//
// A guest is a tiny program with one subject that checks itself. It prints PASS as its last line and exits 0, or prints
// `FAIL file:line expression: got ..., expected ...` and exits 1. It must hold natively as well as under Beam; what is
// only true under Beam (pids are small, nobody outside is seen) goes behind under_beam(). See README.md.
#pragma once
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// Longer than any guest takes on a loaded machine; a guest that gets here hangs.
enum { kGuestDeadline = 100 };

static pid_t guest_top;  // The process that must print PASS.

// One write, so that lines of several processes do not mix. Never returns to the guest.
__attribute__((format(printf, 3, 4), noreturn, unused)) static void guest_fail(const char* file, int line,
                                                                               const char* format, ...) {
  char text[1024];
  const char* name = strrchr(file, '/');
  int used = snprintf(text, sizeof text, "FAIL %s:%d ", name ? name + 1 : file, line);
  va_list args;
  va_start(args, format);
  used += vsnprintf(text + used, sizeof text - (size_t)used, format, args);
  va_end(args);
  if (used > (int)sizeof text - 2) {
    used = sizeof text - 2;
  }
  text[used++] = '\n';
  if (write(STDOUT_FILENO, text, (size_t)used) < 0) {
    // Nobody is left to tell.
  }
  // A failed child takes the whole guest with it, or its parent might wait for it until the deadline.
  if (guest_top > 0 && getpid() != guest_top) {
    kill(guest_top, SIGKILL);
  }
  _exit(1);
}

#define FAIL(...) guest_fail(__FILE__, __LINE__, __VA_ARGS__)

#define CHECK(condition)                                    \
  do {                                                      \
    if (!(condition)) {                                     \
      FAIL("%s: is false (errno %d)", #condition, errno);   \
    }                                                       \
  } while (0)

#define CHECK_EQ(got, expected)                                                       \
  do {                                                                                \
    long long got_ = (long long)(got), expected_ = (long long)(expected);             \
    if (got_ != expected_) {                                                          \
      FAIL("%s: got %lld, expected %lld (%s)", #got, got_, expected_, #expected);     \
    }                                                                                 \
  } while (0)

#define CHECK_NE(got, refused)                                                          \
  do {                                                                                  \
    long long got_ = (long long)(got), refused_ = (long long)(refused);                 \
    if (got_ == refused_) {                                                             \
      FAIL("%s: got %lld, expected anything but (%s)", #got, got_, #refused);           \
    }                                                                                   \
  } while (0)

#define CHECK_STR(got, expected)                                                \
  do {                                                                          \
    const char *got_ = (got), *expected_ = (expected);                          \
    if (strcmp(got_, expected_) != 0) {                                         \
      FAIL("%s: got \"%s\", expected \"%s\"", #got, got_, expected_);           \
    }                                                                           \
  } while (0)

// A call that must fail with -1 and this errno.
#define CHECK_ERRNO(call, expected)                                                                          \
  do {                                                                                                       \
    errno = 0;                                                                                               \
    long long got_ = (long long)(call);                                                                      \
    int errno_ = errno;                                                                                      \
    if (got_ != -1) {                                                                                        \
      FAIL("%s: got %lld, expected -1 with %s", #call, got_, #expected);                                     \
    }                                                                                                        \
    if (errno_ != (expected)) {                                                                              \
      FAIL("%s: got errno %d (%s), expected %s", #call, errno_, strerror(errno_), #expected);                \
    }                                                                                                        \
  } while (0)

// A call that must not return -1; its value.
#define SYS(call)                                                              \
  ({                                                                           \
    __typeof__(call) got_ = (call);                                            \
    if (got_ == (__typeof__(got_))-1) {                                        \
      FAIL("%s: got errno %d (%s)", #call, errno, strerror(errno));            \
    }                                                                          \
    got_;                                                                      \
  })

// A pthread call, which returns its error.
#define PTHREAD(call)                                                          \
  do {                                                                         \
    int got_ = (call);                                                         \
    if (got_ != 0) {                                                           \
      FAIL("%s: got %d (%s), expected 0", #call, got_, strerror(got_));        \
    }                                                                          \
  } while (0)

__attribute__((unused)) static bool under_beam(void) {
  const char* mode = getenv("BEAM_GUEST");
  return mode && strcmp(mode, "beam") == 0;
}

__attribute__((unused)) static pid_t raw_gettid(void) { return (pid_t)syscall(SYS_gettid); }
__attribute__((unused)) static pid_t raw_getpid(void) { return (pid_t)syscall(SYS_getpid); }

static void guest_deadline_passed(int signal) {
  (void)signal;
  FAIL("the deadline of %d s passed in pid %d", kGuestDeadline, (int)getpid());
}

// First statement of main, also of a program that the guest executes again with other arguments.
__attribute__((unused)) static void guest_begin(void) {
  if (!getenv("GUEST_CHILD")) {
    guest_top = getpid();
    setenv("GUEST_CHILD", "1", 1);
  }
  setvbuf(stdout, NULL, _IONBF, 0);
  struct sigaction action = {.sa_handler = guest_deadline_passed};
  sigaction(SIGALRM, &action, NULL);
  alarm(kGuestDeadline);
}

// Last statement of main.
__attribute__((unused)) static int guest_pass(void) {
  if (write(STDOUT_FILENO, "PASS\n", 5) != 5) {
    return 1;
  }
  return 0;
}

// A moment at which whoever runs the guest may freeze and thaw it: it says so on stdout, and goes on at a line, or the
// end, of stdin. Natively that is /dev/null.
__attribute__((unused)) static void guest_fence(void) {
  CHECK_EQ(write(STDOUT_FILENO, "FENCE\n", 6), 6);
  char byte = 0;
  CHECK(read(STDIN_FILENO, &byte, 1) >= 0);
}

// fork; an alarm is not inherited, so the child sets its own.
__attribute__((unused)) static pid_t guest_fork(void) {
  pid_t pid = SYS(fork());
  if (pid == 0) {
    alarm(kGuestDeadline);
  }
  return pid;
}

// Waits for exactly this child and gives its status.
__attribute__((unused)) static int guest_status(pid_t pid) {
  int status = 0;
  pid_t got;
  do {
    got = waitpid(pid, &status, __WALL);
  } while (got < 0 && errno == EINTR);
  CHECK_EQ(got, pid);
  return status;
}

// Waits for a child that must exit with this code.
#define REAP_CODE(pid, code)                                                                              \
  do {                                                                                                    \
    int status_ = guest_status(pid);                                                                      \
    if (!WIFEXITED(status_) || WEXITSTATUS(status_) != (code)) {                                          \
      FAIL("child %s: got status 0x%x, expected exit code %d", #pid, (unsigned)status_, (int)(code));     \
    }                                                                                                     \
  } while (0)
#define REAP(pid) REAP_CODE(pid, 0)

// Waits for a child that this signal must end.
#define REAP_SIGNAL(pid, signal)                                                                         \
  do {                                                                                                   \
    int status_ = guest_status(pid);                                                                     \
    if (!WIFSIGNALED(status_) || WTERMSIG(status_) != (signal)) {                                        \
      FAIL("child %s: got status 0x%x, expected an end by %s", #pid, (unsigned)status_, #signal);        \
    }                                                                                                    \
  } while (0)

// A gate: one side waits until the other opens it; each opening lets one waiter through once.
struct gate {
  int fd[2];
};

__attribute__((unused)) static struct gate gate_make(void) {
  struct gate gate;
  SYS(pipe2(gate.fd, O_CLOEXEC));
  return gate;
}

__attribute__((unused)) static void gate_send(struct gate* gate, long value) {
  ssize_t got;
  do {
    got = write(gate->fd[1], &value, sizeof value);
  } while (got < 0 && errno == EINTR);
  CHECK_EQ(got, sizeof value);
}

__attribute__((unused)) static long gate_receive(struct gate* gate) {
  long value = 0;
  ssize_t got;
  do {
    got = read(gate->fd[0], &value, sizeof value);
  } while (got < 0 && errno == EINTR);
  CHECK_EQ(got, sizeof value);
  return value;
}

__attribute__((unused)) static void gate_open(struct gate* gate) { gate_send(gate, 1); }
__attribute__((unused)) static void gate_wait(struct gate* gate) { CHECK_EQ(gate_receive(gate), 1); }

__attribute__((unused)) static void gate_close(struct gate* gate) {
  close(gate->fd[0]);
  close(gate->fd[1]);
}

__attribute__((unused)) static pthread_t guest_thread(void* (*run)(void*), void* argument) {
  pthread_t thread;
  PTHREAD(pthread_create(&thread, NULL, run, argument));
  return thread;
}

__attribute__((unused)) static void guest_join(pthread_t thread) { PTHREAD(pthread_join(thread, NULL)); }

__attribute__((unused)) static void guest_handle(int signal, void (*handler)(int, siginfo_t*, void*), int flags) {
  struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
  SYS(sigaction(signal, &action, NULL));
}

__attribute__((unused)) static void guest_block(int signal) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  PTHREAD(pthread_sigmask(SIG_BLOCK, &set, NULL));
}

__attribute__((unused)) static void guest_unblock(int signal) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  PTHREAD(pthread_sigmask(SIG_UNBLOCK, &set, NULL));
}

// The whole of a small file as a string; the length, or -1 with errno.
__attribute__((unused)) static ssize_t read_fd(int fd, char* text, size_t size) {
  size_t used = 0;
  while (used < size - 1) {
    ssize_t got = read(fd, text + used, size - 1 - used);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return -1;
    }
    if (got == 0) {
      break;
    }
    used += (size_t)got;
  }
  text[used] = '\0';
  return (ssize_t)used;
}

__attribute__((unused)) static ssize_t read_file(const char* path, char* text, size_t size) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return -1;
  }
  ssize_t got = read_fd(fd, text, size);
  int error = errno;
  close(fd);
  errno = error;
  return got;
}

__attribute__((unused)) static void write_file(const char* path, const char* text, mode_t mode) {
  int fd = SYS(open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
  CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
  SYS(fchmod(fd, mode));
  SYS(close(fd));
}

__attribute__((unused)) static void copy_file(const char* from, const char* to, mode_t mode) {
  int in = SYS(open(from, O_RDONLY | O_CLOEXEC));
  int out = SYS(open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700));
  char buffer[65536];
  ssize_t got;
  while ((got = SYS(read(in, buffer, sizeof buffer))) > 0) {
    CHECK_EQ(write(out, buffer, (size_t)got), got);
  }
  SYS(fchmod(out, mode));
  SYS(close(in));
  SYS(close(out));
}

// A number after "KEY:" of a /proc status-like file that has been read; -1 when the key is missing.
__attribute__((unused)) static long field_of(const char* text, const char* key) {
  size_t length = strlen(key);
  for (const char* line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
    if (strncmp(line, key, length) == 0 && line[length] == ':') {
      return strtol(line + length + 1, NULL, 0);
    }
  }
  return -1;
}

__attribute__((unused)) static long status_field(const char* path, const char* key) {
  char text[8192];
  if (read_file(path, text, sizeof text) < 0) {
    return -1;
  }
  return field_of(text, key);
}

struct proc_stat {
  int pid;
  char comm[64];
  char state;
  int ppid, pgrp, session, tty, tpgid;
  long threads;
};

// Reads a /proc/N/stat; false with errno when it can't be read.
__attribute__((unused)) static bool read_stat(const char* path, struct proc_stat* stat) {
  char text[4096];
  if (read_file(path, text, sizeof text) < 0) {
    return false;
  }
  const char* open = strchr(text, '(');
  const char* shut = strrchr(text, ')');
  if (!open || !shut) {
    FAIL("%s: not a stat line: %s", path, text);
  }
  memset(stat, 0, sizeof *stat);
  stat->pid = atoi(text);
  memcpy(stat->comm, open + 1, (size_t)(shut - open - 1) < sizeof stat->comm ? (size_t)(shut - open - 1) : 63);
  CHECK_EQ(sscanf(shut + 2, "%c %d %d %d %d %d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %ld", &stat->state,
                  &stat->ppid, &stat->pgrp, &stat->session, &stat->tty, &stat->tpgid, &stat->threads),
           7);
  return true;
}

__attribute__((unused)) static char task_state(pid_t pid, pid_t tid) {
  char path[64];
  struct proc_stat stat;
  snprintf(path, sizeof path, "/proc/%d/task/%d/stat", (int)pid, (int)tid);
  return read_stat(path, &stat) ? stat.state : '\0';
}

// Waits until a task of the guest is in one of these states: the kernel tells nobody when a task blocks.
__attribute__((unused)) static void wait_state(pid_t pid, pid_t tid, const char* states) {
  for (;;) {
    char state = task_state(pid, tid);
    if (state && strchr(states, state)) {
      return;
    }
    if (!state || strchr("ZX", state)) {
      FAIL("task %d of process %d has ended while its state was waited for: %s", (int)tid, (int)pid, states);
    }
    sched_yield();
  }
}

__attribute__((unused)) static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
