// mq_notify across a freeze: who has asked to be told of a message in an empty queue still is, once, by a signal with its
// value or by a thread; and nobody else can ask meanwhile.
#include <mqueue.h>

#include "guest.h"

static struct gate hit;

static void notified(union sigval value) { gate_send(&hit, value.sival_int); }

static mqd_t queue_named(const char* what) {
  char name[64];
  snprintf(name, sizeof name, "/guest-%d-%s", atoi(getenv("BEAM_OUTSIDE_PID")), what);
  mq_unlink(name);
  struct mq_attr attributes = {.mq_maxmsg = 4, .mq_msgsize = 16};
  mqd_t queue = SYS(mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600, &attributes));
  SYS(mq_unlink(name));
  return queue;
}

int main(void) {
  guest_begin();
  hit = gate_make();
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN + 2);
  guest_block(SIGRTMIN + 2);
  mqd_t by_signal = queue_named("signal"), by_thread = queue_named("thread"), by_none = queue_named("none");
  mqd_t copy = SYS(dup(by_signal));
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 2, .sigev_value.sival_ptr = &hit};
  SYS(mq_notify(by_signal, &event));
  struct sigevent thread = {
      .sigev_notify = SIGEV_THREAD, .sigev_notify_function = notified, .sigev_value.sival_int = 4711};
  SYS(mq_notify(by_thread, &thread));
  struct sigevent none = {.sigev_notify = SIGEV_NONE};
  SYS(mq_notify(by_none, &none));
  guest_fence();
  guest_fence();
  CHECK_ERRNO(mq_notify(copy, &event), EBUSY);
  CHECK_ERRNO(mq_notify(by_none, &event), EBUSY);
  pid_t child = guest_fork();
  if (child == 0) {
    CHECK_ERRNO(mq_notify(by_signal, &event), EBUSY);
    SYS(mq_send(by_signal, "hello", 6, 1));
    SYS(mq_send(by_signal, "again", 6, 1));
    SYS(mq_send(by_thread, "hello", 6, 1));
    _exit(0);
  }
  siginfo_t info;
  CHECK_EQ(SYS(sigwaitinfo(&set, &info)), SIGRTMIN + 2);
  CHECK_EQ(info.si_code, SI_MESGQ);
  CHECK_EQ(info.si_pid, child);
  CHECK_EQ((uintptr_t)info.si_value.sival_ptr, (uintptr_t)&hit);
  CHECK_EQ(gate_receive(&hit), 4711);
  REAP(child);
  struct timespec now = {0, 0};
  CHECK_ERRNO(sigtimedwait(&set, &info, &now), EAGAIN);
  SYS(mq_notify(by_signal, &event));
  SYS(mq_notify(by_none, NULL));
  SYS(mq_notify(by_none, &event));
  return guest_pass();
}
