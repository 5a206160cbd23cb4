// PIDFD_THREAD: a pidfd of a thread; signals go to it alone, poll tells its end.
#include "guest.h"

enum { kPidfdThread = O_EXCL };
static struct gate up, done, hit;

static void handler(int signal, siginfo_t* info, void* context) {
  (void)signal;
  (void)context;
  CHECK_EQ(info->si_pid, raw_getpid());
  gate_send(&hit, raw_gettid());
}

static void* run(void* unused) {
  gate_send(&up, raw_gettid());
  gate_wait(&done);
  return unused;
}

int main(void) {
  guest_begin();
  up = gate_make();
  done = gate_make();
  hit = gate_make();
  guest_handle(SIGUSR1, handler, SA_RESTART);
  pthread_t thread = guest_thread(run, NULL);
  pid_t tid = (pid_t)gate_receive(&up);
  int pidfd = (int)syscall(SYS_pidfd_open, tid, kPidfdThread);
  if (pidfd < 0) {
    FAIL("PIDFD_THREAD: errno %d: this guest needs a kernel of Linux 6.9 or later", errno);
  }
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
  CHECK_EQ(status_field(path, "Pid"), tid);
  SYS(syscall(SYS_pidfd_send_signal, pidfd, SIGUSR1, NULL, 0));
  CHECK_EQ(gate_receive(&hit), tid);
  struct pollfd poll_fd = {.fd = pidfd, .events = POLLIN};
  CHECK_EQ(poll(&poll_fd, 1, 0), 0);
  gate_open(&done);
  guest_join(thread);
  CHECK_EQ(SYS(poll(&poll_fd, 1, -1)), 1);
  return guest_pass();
}
