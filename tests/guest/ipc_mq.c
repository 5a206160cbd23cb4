// POSIX message queues: mq_notify's signal carries the sender's pid, uid and the value that was asked for.
#include <mqueue.h>

#include "guest.h"

int main(void) {
  guest_begin();
  char name[64];
  snprintf(name, sizeof name, "/beam-guest-%ld-%d", (long)now_ns(), getpid());
  struct mq_attr attributes = {.mq_maxmsg = 4, .mq_msgsize = 16};
  mqd_t queue = SYS(mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600, &attributes));
  guest_block(SIGRTMIN + 2);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN + 2);
  for (int i = 0; i < 5; ++i) {
    struct sigevent event = {
        .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 2, .sigev_value.sival_int = 1000 + i};
    SYS(mq_notify(queue, &event));
    CHECK_ERRNO(mq_notify(queue, &event), EBUSY);
    pid_t child = guest_fork();
    if (child == 0) {
      SYS(mq_send(queue, "hello", 6, 1));
      _exit(0);
    }
    siginfo_t info;
    CHECK_EQ(SYS(sigwaitinfo(&set, &info)), SIGRTMIN + 2);
    CHECK_EQ(info.si_code, SI_MESGQ);
    CHECK_EQ(info.si_pid, child);
    CHECK_EQ(info.si_uid, getuid());
    CHECK_EQ(info.si_value.sival_int, 1000 + i);
    char text[16];
    CHECK_EQ(mq_receive(queue, text, sizeof text, NULL), 6);
    REAP(child);
  }
  SYS(mq_unlink(name));
  return guest_pass();
}
