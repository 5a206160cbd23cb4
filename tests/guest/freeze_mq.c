// POSIX message queues across a freeze: messages with their priorities, attributes, one that has been unlinked.
#include <mqueue.h>

#include "guest.h"

static void expect(mqd_t queue, const char* text, unsigned priority) {
  char buffer[64];
  unsigned got = 0;
  CHECK_EQ(mq_receive(queue, buffer, sizeof buffer, &got), strlen(text));
  CHECK(memcmp(buffer, text, strlen(text)) == 0);
  CHECK_EQ(got, priority);
}

int main(void) {
  guest_begin();
  char kept_name[64], gone_name[64];
  snprintf(kept_name, sizeof kept_name, "/guest-%d-kept", atoi(getenv("BEAM_OUTSIDE_PID")));
  snprintf(gone_name, sizeof gone_name, "/guest-%d-gone", atoi(getenv("BEAM_OUTSIDE_PID")));
  mq_unlink(kept_name);
  mq_unlink(gone_name);
  struct mq_attr attributes = {.mq_maxmsg = 5, .mq_msgsize = 64};
  mqd_t kept = SYS(mq_open(kept_name, O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK, 0600, &attributes));
  mqd_t gone = SYS(mq_open(gone_name, O_WRONLY | O_CREAT | O_EXCL, 0600, &attributes));
  mqd_t gone_reader = SYS(mq_open(gone_name, O_RDONLY));
  SYS(mq_unlink(gone_name));
  SYS(mq_send(kept, "low", 3, 1));
  SYS(mq_send(kept, "high", 4, 9));
  SYS(mq_send(kept, "later", 5, 1));
  SYS(mq_send(gone, "unlinked", 8, 0));
  SYS(mq_send(gone, "", 0, 0));
  guest_fence();
  expect(kept, "high", 9);
  guest_fence();
  expect(kept, "low", 1);
  expect(kept, "later", 1);
  char buffer[64];
  CHECK_ERRNO(mq_receive(kept, buffer, sizeof buffer, NULL), EAGAIN);
  expect(gone_reader, "unlinked", 0);
  expect(gone_reader, "", 0);
  struct mq_attr now;
  SYS(mq_getattr(gone_reader, &now));
  CHECK_EQ(now.mq_maxmsg, 5);
  CHECK_EQ(now.mq_msgsize, 64);
  CHECK_EQ(now.mq_flags, 0);
  SYS(mq_getattr(kept, &now));
  CHECK_EQ(now.mq_flags, O_NONBLOCK);
  SYS(mq_unlink(kept_name));
  CHECK_ERRNO(mq_open(gone_name, O_RDONLY), ENOENT);
  return guest_pass();
}
