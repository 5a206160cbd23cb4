// Thousands of short threads from four makers at once; no join hangs and no tid is seen twice at the same time.
#include "guest.h"

enum { kMakers = 4, kRounds = 400 };

static void* brief(void* argument) {
  *(pid_t*)argument = raw_gettid();
  return NULL;
}

static void* maker(void* unused) {
  (void)unused;
  pid_t self = raw_gettid();
  for (int i = 0; i < kRounds; ++i) {
    pid_t first = 0, second = 0;
    pthread_t one = guest_thread(brief, &first);
    pthread_t two = guest_thread(brief, &second);
    guest_join(one);
    guest_join(two);
    CHECK(first > 0 && second > 0);
    CHECK_NE(first, self);
    CHECK_NE(second, self);
  }
  CHECK_EQ(raw_gettid(), self);
  return NULL;
}

int main(void) {
  guest_begin();
  pthread_t threads[kMakers];
  for (int i = 0; i < kMakers; ++i) {
    threads[i] = guest_thread(maker, NULL);
  }
  for (int i = 0; i < kMakers; ++i) {
    guest_join(threads[i]);
  }
  return guest_pass();
}
