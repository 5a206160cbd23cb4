// A profiling timer interrupts the vDSO's functions at every instruction sooner or later; they return right all the
// same.
#include "storm.h"

int main(void) {
  guest_begin();
  timer_t timer = storm_begin(SA_RESTART);
  uint64_t last = now_ns();
  for (int i = 0; !storm_enough(i, 100000); ++i) {
    uint64_t now = now_ns();
    CHECK(now >= last);
    CHECK(now - last < 100000000000ull);
    last = now;
    struct timespec real;
    CHECK_EQ(clock_gettime(CLOCK_REALTIME, &real), 0);
    CHECK(real.tv_nsec >= 0 && real.tv_nsec < 1000000000);
    CHECK(sched_getcpu() >= 0);
  }
  storm_end(timer);
  return guest_pass();
}
