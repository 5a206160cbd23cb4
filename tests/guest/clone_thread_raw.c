// Threads made by clone(2) itself: SETTID words, CLEARTID futex wake, tgid and task listing, without a thread library.
#include <linux/futex.h>
#include <sys/mman.h>

#include "guest.h"

static volatile int parent_word, clear_word, child_seen, tgid_seen;
static volatile int release_word;

// Runs with the parent's thread pointer, so nothing here may use errno.
__attribute__((noreturn)) static int run(void* unused) {
  (void)unused;
  long tid, tgid;
  __asm__ volatile("syscall" : "=a"(tid) : "a"(SYS_gettid) : "rcx", "r11", "memory");
  __asm__ volatile("syscall" : "=a"(tgid) : "a"(SYS_getpid) : "rcx", "r11", "memory");
  tgid_seen = (int)tgid;
  __atomic_store_n(&child_seen, (int)tid, __ATOMIC_RELEASE);
  while (!__atomic_load_n(&release_word, __ATOMIC_ACQUIRE)) {
    long yielded;
    __asm__ volatile("syscall" : "=a"(yielded) : "a"(SYS_sched_yield) : "rcx", "r11", "memory");
  }
  for (;;) {
    long ignored;
    __asm__ volatile("syscall" : "=a"(ignored) : "a"(SYS_exit), "D"(0) : "rcx", "r11", "memory");
  }
}

int main(void) {
  guest_begin();
  enum { kStack = 65536 };
  char* stack = SYS(mmap(NULL, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  for (int round = 0; round < 200; ++round) {
    parent_word = clear_word = child_seen = tgid_seen = 0;
    release_word = 0;
    int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_PARENT_SETTID |
                CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
    int tid = SYS(clone(run, stack + kStack, flags, NULL, &parent_word, NULL, &clear_word));
    CHECK_EQ(parent_word, tid);
    while (!__atomic_load_n(&child_seen, __ATOMIC_ACQUIRE)) {
      sched_yield();
    }
    CHECK_EQ(child_seen, tid);
    CHECK_EQ(clear_word, tid);
    CHECK_EQ(tgid_seen, getpid());
    CHECK_EQ(syscall(SYS_tgkill, getpid(), tid, 0), 0);
    __atomic_store_n(&release_word, 1, __ATOMIC_RELEASE);
    int now;
    while ((now = __atomic_load_n(&clear_word, __ATOMIC_ACQUIRE)) != 0) {
      CHECK_EQ(now, tid);
      syscall(SYS_futex, &clear_word, FUTEX_WAIT, now, NULL, NULL, 0);
    }
  }
  return guest_pass();
}
