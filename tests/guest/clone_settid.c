// clone(2) without a new stack: PARENT_SETTID, CHILD_SETTID and CHILD_CLEARTID write the number that both sides know.
#include <linux/futex.h>
#include <sys/mman.h>

#include "guest.h"

static pid_t raw_clone(unsigned long flags, int* parent_tid, int* child_tid) {
  return (pid_t)syscall(SYS_clone, flags, NULL, parent_tid, child_tid, 0);
}

int main(void) {
  guest_begin();
  // PARENT_SETTID writes into the parent's memory alone, after the copy was made.
  int parent_tid = -1, child_tid = -1;
  pid_t child = SYS(raw_clone(CLONE_PARENT_SETTID | SIGCHLD, &parent_tid, &child_tid));
  if (child == 0) {
    CHECK_EQ(parent_tid, -1);
    CHECK_EQ(child_tid, -1);
    _exit(0);
  }
  CHECK_EQ(parent_tid, child);
  CHECK_EQ(child_tid, -1);
  REAP(child);

  // CHILD_SETTID writes into the child's memory alone.
  parent_tid = child_tid = -1;
  child = SYS(raw_clone(CLONE_CHILD_SETTID | SIGCHLD, &parent_tid, &child_tid));
  if (child == 0) {
    CHECK_EQ(child_tid, raw_getpid());
    CHECK_EQ(parent_tid, -1);
    _exit(0);
  }
  CHECK_EQ(child_tid, -1);
  REAP(child);

  // All of them, in shared memory, so that the clearing at the exit and its wake-up show.
  int* shared = SYS(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  struct gate go = gate_make();
  child =
      SYS(raw_clone(CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD, &parent_tid, shared));
  if (child == 0) {
    CHECK_EQ(*shared, raw_getpid());
    gate_wait(&go);
    _exit(0);
  }
  CHECK_EQ(parent_tid, child);
  gate_open(&go);
  REAP(child);
  // The kernel clears only for others in the same memory (mm_release): this child was alone in its own.
  CHECK_EQ(*shared, child);

  // A child with memory of its own that ends alone has nobody to clear for in private memory: nothing must change here.
  child_tid = 12345;
  child = SYS(raw_clone(CLONE_CHILD_CLEARTID | SIGCHLD, NULL, &child_tid));
  if (child == 0) {
    CHECK_EQ(child_tid, 12345);
    _exit(0);
  }
  REAP(child);
  CHECK_EQ(child_tid, 12345);

  // An address that can't be written does not stop the clone: the kernel ignores it.
  child = SYS(raw_clone(CLONE_CHILD_SETTID | SIGCHLD, NULL, (int*)8));
  if (child == 0) {
    _exit(6);
  }
  REAP_CODE(child, 6);
  return guest_pass();
}
