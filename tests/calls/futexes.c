// futex(2): errors of every operation, and locks with owners.
#include <linux/futex.h>

#include "calls.h"

static long futex(void* word, int operation, uint32_t value, const void* timeout, void* other, uint32_t third) {
  return syscall(SYS_futex, word, operation, value, timeout, other, third);
}

int main(void) {
  transcript_begin();
  uint32_t* word = (uint32_t*)writable;
  uint32_t* other = word + 8;
  uint32_t self = (uint32_t)syscall(SYS_gettid);
  // At a fixed place: some operations take the address for a number.
  struct timespec* times =
      mmap((void*)0x20000000, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  times[0] = (struct timespec){0, 1};
  times[1] = (struct timespec){0, 1000000000};
  times[2] = (struct timespec){-1, 0};
#define past times[0]
#define wrong times[1]
#define negative times[2]
  for (int operation = 0; operation < 15; ++operation) {
    for (int private = 0; private < 2; ++private) {
      int call = operation | (private ? FUTEX_PRIVATE_FLAG : 0);
      printf("operation %d private %d\n", operation, private);
      *word = 0;
      *other = 0;
      if (operation != FUTEX_WAIT && operation != FUTEX_WAIT_BITSET && operation != FUTEX_WAIT_REQUEUE_PI) {
        T(futex(word, call, 1, NONE, other, 0));
        IS(*word,
           operation == FUTEX_LOCK_PI || operation == FUTEX_TRYLOCK_PI || operation == FUTEX_LOCK_PI2 ? self : 0);
      }
      *word = 0;
      T(futex(BAD, call, 1, &past, BAD, 1));
      T(futex((void*)32, call, 1, &past, (void*)32, 1));
      T(futex((char*)word + 1, call, 1, &past, other, 1));
      T(futex(HIGH, call, 1, &past, other, 1));
      T(futex(word, call, 1, &past, (char*)other + 1, 1));
      T(futex(word, call, 1, &past, (void*)64, 1));
      *word = 0;
      T(futex(word, call, 0, &wrong, other, 1));
      *word = 0;
      T(futex(word, call, 0, &negative, other, 1));
      *word = 0;
      T(futex(word, call, 0, &past, other, 1));
      *word = self;
      T(futex(word, call, 1, &past, other, 1));
      *word = self | FUTEX_WAITERS;
      T(futex(word, call, 1, &past, other, 1));
      *word = kNobody & FUTEX_TID_MASK;
      T(futex(word, call, 1, &past, other, 1));
      *word = 0x3ffffff0;
      T(futex(word, call, 1, &past, other, 1));
      *word = FUTEX_OWNER_DIED;
      T(futex(word, call, 1, &past, other, 1));
      *word = FUTEX_WAITERS;
      T(futex(word, call, 1, &past, other, 1));
      *word = 0;
      T(futex(readable, call, 0, &past, other, 1));
      T(futex(word, call | FUTEX_CLOCK_REALTIME, 0, &past, other, 1));
      *word = 0;
    }
  }
  T(futex(word, 99, 0, NONE, NONE, 0));
  // Owned by another.
  uint32_t* shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  int up[2], go[2];
  (void)!pipe(up), (void)!pipe(go);
  pid_t owner = fork();
  if (owner == 0) {
    T(futex(shared, FUTEX_LOCK_PI, 0, NONE, NONE, 0));
    IS(*shared, syscall(SYS_gettid));
    (void)!write(up[1], "x", 1);
    char byte;
    (void)!read(go[0], &byte, 1);
    _exit(0);
  }
  char byte;
  (void)!read(up[0], &byte, 1);
  IS(*shared, owner);
  T(futex(shared, FUTEX_TRYLOCK_PI, 0, NONE, NONE, 0));
  T(futex(shared, FUTEX_UNLOCK_PI, 0, NONE, NONE, 0));
  T(futex(shared, FUTEX_LOCK_PI, 0, &past, NONE, 0));
  T(futex(shared, FUTEX_LOCK_PI2, 0, &past, NONE, 0));
  IS(*shared & FUTEX_TID_MASK, owner);
  close(go[1]);
  kill(owner, SIGKILL);
  waitpid(owner, NULL, 0);
  IS(*shared & FUTEX_TID_MASK, owner);
  T(futex(shared, FUTEX_TRYLOCK_PI, 0, NONE, NONE, 0));
  T(futex(shared, FUTEX_LOCK_PI, 0, NONE, NONE, 0));
  return 0;
}
