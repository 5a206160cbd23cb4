// mq_notify with SIGEV_THREAD: the library's helper thread runs the function when a message comes.
#include <mqueue.h>

#include "guest.h"

static struct gate hit;

static void notified(union sigval value) {
  CHECK_EQ(raw_getpid(), guest_top);
  CHECK_NE(raw_gettid(), guest_top);
  gate_send(&hit, value.sival_int);
}

int main(void) {
  guest_begin();
  hit = gate_make();
  char name[64];
  snprintf(name, sizeof name, "/beam-guest-%ld-%d", (long)now_ns(), getpid());
  struct mq_attr attributes = {.mq_maxmsg = 4, .mq_msgsize = 16};
  mqd_t queue = SYS(mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600, &attributes));
  struct sigevent event = {
      .sigev_notify = SIGEV_THREAD, .sigev_notify_function = notified, .sigev_value.sival_int = 4711};
  SYS(mq_notify(queue, &event));
  SYS(mq_send(queue, "hello", 6, 1));
  CHECK_EQ(gate_receive(&hit), 4711);
  SYS(mq_unlink(name));
  return guest_pass();
}
