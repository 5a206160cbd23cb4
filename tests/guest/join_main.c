// A thread joins the main thread, which ends by pthread_exit: the library waits for the tid word to be cleared.
#include "guest.h"

static pthread_t main_thread;

static void* run(void* unused) {
  (void)unused;
  void* result = NULL;
  PTHREAD(pthread_join(main_thread, &result));
  CHECK_EQ((intptr_t)result, 77);
  exit(guest_pass());
}

int main(void) {
  guest_begin();
  main_thread = pthread_self();
  guest_thread(run, NULL);
  pthread_exit((void*)77);
}
