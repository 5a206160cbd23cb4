// Signals while threads wait in a PI lock: the wait goes on after a handler, a handler sees the interrupted call's own
// registers, one that jumps away leaves the lock to the others, and so does a killed process.
#include <linux/futex.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "guest.h"

enum { kThreads = 4, kRounds = 150 };

static int* word;
static volatile long counter;
static volatile int hammering;
static struct gate ready;
static sigjmp_buf away;
static volatile long handled;
static volatile unsigned long seen_rax, seen_rdi, seen_rsi, seen_rbx, given_rbx;

static long futex(int* address, int operation, const struct timespec* timeout) {
  return syscall(SYS_futex, address, operation, 0, timeout, NULL, 0);
}

static void lock(void) {
  int expected = 0;
  if (!__atomic_compare_exchange_n(word, &expected, raw_gettid(), false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
    SYS(futex(word, FUTEX_LOCK_PI, NULL));
  }
  CHECK_EQ(__atomic_load_n(word, __ATOMIC_SEQ_CST) & FUTEX_TID_MASK, raw_gettid());
}

static void unlock(void) {
  int expected = raw_gettid();
  if (!__atomic_compare_exchange_n(word, &expected, 0, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
    SYS(futex(word, FUTEX_UNLOCK_PI, NULL));
  }
}

static void wait_for_waiter(void) {
  while (!(__atomic_load_n(word, __ATOMIC_SEQ_CST) & (int)FUTEX_WAITERS)) {
    sched_yield();
  }
}

static void count(int signal, siginfo_t* info, void* context) {
  (void)signal, (void)info, (void)context;
  handled = handled + 1;
}

static void look(int signal, siginfo_t* info, void* context) {
  (void)signal, (void)info;
  const greg_t* registers = ((ucontext_t*)context)->uc_mcontext.gregs;
  seen_rax = (unsigned long)registers[REG_RAX];
  seen_rdi = (unsigned long)registers[REG_RDI];
  seen_rsi = (unsigned long)registers[REG_RSI];
  seen_rbx = (unsigned long)registers[REG_RBX];
  handled = handled + 1;
}

static void jump(int signal, siginfo_t* info, void* context) {
  (void)signal, (void)info, (void)context;
  siglongjmp(away, 1);
}

static void* hammer(void* unused) {
  for (int i = 0; i < kRounds; ++i) {
    lock();
    long seen = counter;
    if (i % 4 == 0) {
      sched_yield();
    }
    counter = seen + 1;
    unlock();
  }
  __atomic_sub_fetch(&hammering, 1, __ATOMIC_SEQ_CST);
  return unused;
}

static void* waiter(void* unused) {
  gate_send(&ready, raw_gettid());
  lock();
  unlock();
  return unused;
}

// Every register that the ABI keeps is kept, across the call and as its interruption shows them.
static void* waiter_with_registers(void* unused) {
  long result;
  unsigned long rbx = 0x1234567890abcdef, r8 = 0x88, r9 = 0x99, rdx = 0xdd, r10 = 0, kept;
  given_rbx = rbx;
  gate_send(&ready, raw_gettid());
  register unsigned long r8_ __asm__("r8") = r8;
  register unsigned long r9_ __asm__("r9") = r9;
  register unsigned long r10_ __asm__("r10") = r10;
  __asm__ volatile("syscall"
                   : "=a"(result), "=b"(kept), "+d"(rdx), "+r"(r8_), "+r"(r9_), "+r"(r10_)
                   : "0"(SYS_futex), "1"(rbx), "D"(word), "S"(FUTEX_LOCK_PI)
                   : "rcx", "r11", "memory");
  CHECK_EQ(result, 0);
  CHECK_EQ(kept, rbx);
  CHECK_EQ(rdx, 0xdd);
  CHECK_EQ(r8_, 0x88);
  CHECK_EQ(r9_, 0x99);
  unlock();
  return unused;
}

static void* jumping_waiter(void* unused) {
  if (sigsetjmp(away, 1) == 0) {
    gate_send(&ready, raw_gettid());
    SYS(futex(word, FUTEX_LOCK_PI, NULL));
    FAIL("the lock came before the signal");
  }
  return unused;
}

int main(void) {
  guest_begin();
  ready = gate_make();
  word = SYS(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  guest_handle(SIGUSR1, count, 0);  // without SA_RESTART: a PI lock is restarted all the same

  // Signals hail on threads that lock and unlock.
  pthread_t threads[kThreads];
  hammering = kThreads;
  for (int i = 0; i < kThreads; ++i) {
    threads[i] = guest_thread(hammer, NULL);
  }
  for (int i = 0; __atomic_load_n(&hammering, __ATOMIC_SEQ_CST) == kThreads; ++i) {
    PTHREAD(pthread_kill(threads[i % kThreads], SIGUSR1));
  }
  for (int i = 0; i < kThreads; ++i) {
    guest_join(threads[i]);
  }
  CHECK_EQ(counter, kThreads * kRounds);
  CHECK_EQ(*word, 0);

  // A handler in the middle of a wait.
  guest_handle(SIGUSR2, look, 0);
  lock();
  handled = 0;
  pthread_t thread = guest_thread(waiter_with_registers, NULL);
  gate_receive(&ready);
  wait_for_waiter();
  PTHREAD(pthread_kill(thread, SIGUSR2));
  while (handled == 0) {
    sched_yield();
  }
  CHECK_EQ(seen_rax, SYS_futex);
  CHECK_EQ(seen_rdi, (unsigned long)word);
  CHECK_EQ(seen_rsi, FUTEX_LOCK_PI);
  CHECK_EQ(seen_rbx, given_rbx);
  unlock();
  guest_join(thread);

  // A handler that never returns to the wait, while another thread waits on.
  guest_handle(SIGUSR2, jump, 0);
  for (int round = 0; round < 20; ++round) {
    lock();
    pthread_t jumper = guest_thread(jumping_waiter, NULL);
    gate_receive(&ready);
    wait_for_waiter();
    pthread_t other = guest_thread(waiter, NULL);
    gate_receive(&ready);
    PTHREAD(pthread_kill(jumper, SIGUSR2));
    guest_join(jumper);
    unlock();
    guest_join(other);
  }

  // A waiting process is killed just when the lock comes free; another one waits still.
  for (int round = 0; round < 30; ++round) {
    lock();
    pid_t children[2];
    for (int i = 0; i < 2; ++i) {
      children[i] = guest_fork();
      if (children[i] == 0) {
        gate_open(&ready);
        if (i == 0) {
          // Killed as its owner, it leaves the lock to the next.
          SYS(futex(word, FUTEX_LOCK_PI, NULL));
          for (;;) {
            pause();
          }
        }
        // Dead before anybody waited for it, the owner is none any more.
        if (futex(word, FUTEX_LOCK_PI, NULL) != 0) {
          CHECK_EQ(errno, ESRCH);
          _exit(0);
        }
        SYS(futex(word, FUTEX_UNLOCK_PI, NULL));
        _exit(0);
      }
      gate_wait(&ready);
    }
    wait_for_waiter();
    SYS(futex(word, FUTEX_UNLOCK_PI, NULL));
    SYS(kill(children[0], SIGKILL));
    REAP_SIGNAL(children[0], SIGKILL);
    REAP(children[1]);
    __atomic_store_n(word, 0, __ATOMIC_SEQ_CST);
  }
  return guest_pass();
}
