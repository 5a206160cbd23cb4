// Raw FUTEX_LOCK_PI, TRYLOCK_PI, UNLOCK_PI and LOCK_PI2: what the word holds, waiters, timeouts, and the errors.
#include <linux/futex.h>
#include <sys/mman.h>

#include "guest.h"

#ifndef FUTEX_LOCK_PI2
#define FUTEX_LOCK_PI2 13
#endif

static int word;
static struct gate ready, leave;
static volatile pid_t holder_tid;

static long futex(int* address, int operation, int value, const struct timespec* timeout) {
  return syscall(SYS_futex, address, operation, value, timeout, NULL, 0);
}

static void* holder(void* unused) {
  SYS(futex(&word, FUTEX_LOCK_PI, 0, NULL));
  holder_tid = raw_gettid();
  gate_open(&ready);
  gate_wait(&leave);
  SYS(futex(&word, FUTEX_UNLOCK_PI, 0, NULL));
  return unused;
}

static void* waiter(void* unused) {
  gate_send(&ready, raw_gettid());
  SYS(futex(&word, FUTEX_LOCK_PI, 0, NULL));
  CHECK_EQ(__atomic_load_n(&word, __ATOMIC_SEQ_CST) & FUTEX_TID_MASK, raw_gettid());
  SYS(futex(&word, FUTEX_UNLOCK_PI, 0, NULL));
  return unused;
}

int main(void) {
  guest_begin();
  ready = gate_make();
  leave = gate_make();
  SYS(futex(&word, FUTEX_LOCK_PI, 0, NULL));
  CHECK_EQ(word & FUTEX_TID_MASK, raw_gettid());
  CHECK_ERRNO(futex(&word, FUTEX_LOCK_PI, 0, NULL), EDEADLK);
  CHECK_ERRNO(futex(&word, FUTEX_TRYLOCK_PI, 0, NULL), EDEADLK);
  SYS(futex(&word, FUTEX_UNLOCK_PI, 0, NULL));
  CHECK_EQ(word, 0);
  CHECK_ERRNO(futex(&word, FUTEX_UNLOCK_PI, 0, NULL), EPERM);
  SYS(futex(&word, FUTEX_TRYLOCK_PI, 0, NULL));
  CHECK_EQ(word & FUTEX_TID_MASK, raw_gettid());
  SYS(futex(&word, FUTEX_UNLOCK_PI, 0, NULL));
  // Locked by the program's own compare and swap, as libraries do.
  word = raw_gettid();
  SYS(futex(&word, FUTEX_UNLOCK_PI | FUTEX_PRIVATE_FLAG, 0, NULL));
  CHECK_EQ(word, 0);

  for (int round = 0; round < 20; ++round) {
    pthread_t thread = guest_thread(holder, NULL);
    gate_wait(&ready);
    CHECK_EQ(word & FUTEX_TID_MASK, holder_tid);
    CHECK_ERRNO(futex(&word, FUTEX_TRYLOCK_PI, 0, NULL), EAGAIN);
    CHECK_ERRNO(futex(&word, FUTEX_UNLOCK_PI, 0, NULL), EPERM);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 1000000;
    if (until.tv_nsec >= 1000000000) {
      until.tv_nsec -= 1000000000;
      until.tv_sec += 1;
    }
    CHECK_ERRNO(futex(&word, FUTEX_LOCK_PI, 0, &until), ETIMEDOUT);
    struct timespec past = {0, 1};
    CHECK_ERRNO(futex(&word, FUTEX_LOCK_PI2, 0, &past), ETIMEDOUT);
    // A waiter sets the bit, and gets the lock at the unlock.
    pthread_t waiting = guest_thread(waiter, NULL);
    pid_t waiter_tid = (pid_t)gate_receive(&ready);
    while (!(__atomic_load_n(&word, __ATOMIC_SEQ_CST) & (int)FUTEX_WAITERS)) {
      sched_yield();
    }
    (void)waiter_tid;
    gate_open(&leave);
    guest_join(thread);
    guest_join(waiting);
    SYS(futex(&word, FUTEX_LOCK_PI, 0, NULL));
    SYS(futex(&word, FUTEX_UNLOCK_PI, 0, NULL));
  }
  // A number that is nobody's.
  word = 0x3ffffff;
  CHECK_ERRNO(futex(&word, FUTEX_LOCK_PI, 0, NULL), ESRCH);
  CHECK_ERRNO(futex((int*)8, FUTEX_LOCK_PI, 0, NULL), EFAULT);
  CHECK_ERRNO(futex((int*)((char*)&word + 1), FUTEX_LOCK_PI, 0, NULL), EINVAL);
  // The owner-died bit passes to the next owner.
  word = (int)FUTEX_OWNER_DIED;
  SYS(futex(&word, FUTEX_LOCK_PI, 0, NULL));
  CHECK_EQ(word & FUTEX_TID_MASK, raw_gettid());
  return guest_pass();
}
