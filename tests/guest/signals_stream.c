// A 1 kHz timer with SA_RESTART while bytes go round through a pipe between two processes: none is lost or doubled.
#include "storm.h"

int main(void) {
  guest_begin();
  int there[2], back[2];
  SYS(pipe(there));
  SYS(pipe(back));
  pid_t child = guest_fork();
  if (child == 0) {
    close(there[1]);
    timer_t timer = storm_begin(SA_RESTART);
    (void)timer;
    unsigned value;
    while (read(there[0], &value, sizeof value) == sizeof value) {
      value = value * 1664525u + 1013904223u;
      CHECK_EQ(write(back[1], &value, sizeof value), sizeof value);
    }
    _exit(0);
  }
  close(there[0]);
  timer_t timer = storm_begin(SA_RESTART);
  unsigned sent = 1;
  for (int i = 0; !storm_enough(i, 2000); ++i) {
    unsigned got = 0;
    CHECK_EQ(write(there[1], &sent, sizeof sent), sizeof sent);
    CHECK_EQ(read(back[0], &got, sizeof got), sizeof got);
    sent = sent * 1664525u + 1013904223u;
    CHECK_EQ(got, sent);
  }
  storm_end(timer);
  close(there[1]);
  REAP(child);
  return guest_pass();
}
