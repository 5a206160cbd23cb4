// set_tid_address gives the caller's tid; the word is cleared and woken at the thread's end; PR_GET_TID_ADDRESS.
#include <linux/futex.h>

#include "guest.h"

static int word = 1;
static struct gate up;

static void* run(void* unused) {
  CHECK_EQ(syscall(SYS_set_tid_address, &word), raw_gettid());
  gate_open(&up);
  // The C library's own word is replaced, so nobody may join this thread.
  return unused;
}

int main(void) {
  guest_begin();
  up = gate_make();
  int* address = NULL;
  if (prctl(PR_GET_TID_ADDRESS, &address) == 0) {
    int* again = NULL;
    CHECK(address);
    CHECK_EQ(syscall(SYS_set_tid_address, address), getpid());
    SYS(prctl(PR_GET_TID_ADDRESS, &again));
    CHECK(again == address);
    // What the library keeps there is its tid.
    CHECK_EQ(*address, getpid());
  } else {
    // A kernel without checkpoint support.
    CHECK_EQ(errno, EINVAL);
  }
  pthread_t thread = guest_thread(run, NULL);
  pthread_detach(thread);
  gate_wait(&up);
  int now;
  while ((now = __atomic_load_n(&word, __ATOMIC_ACQUIRE)) != 0) {
    syscall(SYS_futex, &word, FUTEX_WAIT, now, NULL, NULL, 0);
  }
  return guest_pass();
}
