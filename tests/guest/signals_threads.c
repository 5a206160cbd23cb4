// A 1 kHz timer with SA_RESTART while threads are made and joined and ask for their ids.
#include "storm.h"

static void* run(void* argument) {
  CHECK_EQ(raw_getpid(), guest_top);
  *(pid_t*)argument = raw_gettid();
  return argument;
}

int main(void) {
  guest_begin();
  timer_t timer = storm_begin(SA_RESTART);
  for (int i = 0; !storm_enough(i, 300); ++i) {
    pid_t tids[3] = {0};
    pthread_t threads[3];
    for (int t = 0; t < 3; ++t) {
      threads[t] = guest_thread(run, &tids[t]);
    }
    for (int t = 0; t < 3; ++t) {
      void* result;
      PTHREAD(pthread_join(threads[t], &result));
      CHECK(result == &tids[t]);
      CHECK(tids[t] > 0 && tids[t] != guest_top);
    }
  }
  storm_end(timer);
  return guest_pass();
}
