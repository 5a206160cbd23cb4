// FUTEX_WAIT_REQUEUE_PI and FUTEX_CMP_REQUEUE_PI: waiters move from a plain word to a lock and own it when they return.
#include <linux/futex.h>

#include "guest.h"

static int condition, lock;
static volatile int passed;
static struct gate ready;
enum { kThreads = 3 };

static void* waiter(void* unused) {
  int seen = __atomic_load_n(&condition, __ATOMIC_SEQ_CST);
  gate_send(&ready, raw_gettid());
  for (;;) {
    long got = syscall(SYS_futex, &condition, FUTEX_WAIT_REQUEUE_PI, seen, NULL, &lock, 0);
    if (got == 0) {
      break;
    }
    // EAGAIN: the word changed before the wait; then there is nothing to wait for.
    CHECK_EQ(errno, EAGAIN);
    SYS(syscall(SYS_futex, &lock, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
    break;
  }
  CHECK_EQ(__atomic_load_n(&lock, __ATOMIC_SEQ_CST) & FUTEX_TID_MASK, raw_gettid());
  passed = passed + 1;
  SYS(syscall(SYS_futex, &lock, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
  return unused;
}

static void* plain(void* unused) {
  gate_send(&ready, raw_gettid());
  SYS(syscall(SYS_futex, &condition, FUTEX_WAIT_PRIVATE, condition, NULL));
  return unused;
}

// Who waits by another operation does not get the lock.
static void mismatched(void) {
  pthread_t thread = guest_thread(plain, NULL);
  wait_state(getpid(), (pid_t)gate_receive(&ready), "S");
  CHECK_ERRNO(syscall(SYS_futex, &condition, FUTEX_CMP_REQUEUE_PI_PRIVATE, 1, 0, &lock, condition), EINVAL);
  CHECK_ERRNO(syscall(SYS_futex, &condition, FUTEX_CMP_REQUEUE_PI_PRIVATE, 1, 0, &lock, condition + 1), EAGAIN);
  CHECK_EQ(lock, 0);
  CHECK_EQ(syscall(SYS_futex, &condition, FUTEX_WAKE_PRIVATE, 1), 1);
  guest_join(thread);
  CHECK_EQ(syscall(SYS_futex, &condition, FUTEX_CMP_REQUEUE_PI_PRIVATE, 1, 0, &lock, condition), 0);
}

int main(void) {
  guest_begin();
  ready = gate_make();
  mismatched();
  for (int round = 0; round < 10; ++round) {
    pthread_t threads[kThreads];
    passed = 0;
    for (int i = 0; i < kThreads; ++i) {
      threads[i] = guest_thread(waiter, NULL);
    }
    for (int i = 0; i < kThreads; ++i) {
      wait_state(getpid(), (pid_t)gate_receive(&ready), "S");
    }
    SYS(syscall(SYS_futex, &lock, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
    int value = __atomic_load_n(&condition, __ATOMIC_SEQ_CST);
    CHECK_ERRNO(syscall(SYS_futex, &condition, FUTEX_CMP_REQUEUE_PI, 1, INT_MAX, &lock, value + 1), EAGAIN);
    value = __atomic_add_fetch(&condition, 1, __ATOMIC_SEQ_CST);
    // Those who have not reached their wait yet see the new value instead.
    long moved = SYS(syscall(SYS_futex, &condition, FUTEX_CMP_REQUEUE_PI, 1, INT_MAX, &lock, value));
    CHECK(moved >= 0 && moved <= kThreads);
    CHECK_EQ(passed, 0);
    SYS(syscall(SYS_futex, &lock, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
    for (int i = 0; i < kThreads; ++i) {
      guest_join(threads[i]);
    }
    CHECK_EQ(passed, kThreads);
  }
  // A wait that times out owns nothing.
  struct timespec past = {0, 1};
  CHECK_ERRNO(syscall(SYS_futex, &condition, FUTEX_WAIT_REQUEUE_PI, condition, &past, &lock, 0), ETIMEDOUT);
  CHECK_EQ(lock, 0);
  return guest_pass();
}
