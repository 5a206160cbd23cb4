// set_robust_list and get_robust_list by pid, the raw list walked at an exit: waiters bit, owner-died bit, pending
// entry.
#include <linux/futex.h>
#include <stddef.h>
#include <sys/mman.h>

#include "guest.h"

struct entry {
  struct robust_list list;
  int futex;
};

int main(void) {
  guest_begin();
  struct robust_list_head* head = NULL;
  size_t size = 0;
  SYS(syscall(SYS_get_robust_list, 0, &head, &size));
  CHECK_EQ(size, sizeof *head);
  struct robust_list_head* again = NULL;
  SYS(syscall(SYS_get_robust_list, getpid(), &again, &size));
  CHECK(again == head);
  CHECK_ERRNO(syscall(SYS_get_robust_list, 0x3fffffff, &head, &size), ESRCH);
  CHECK_ERRNO(syscall(SYS_set_robust_list, head, 5), EINVAL);

  struct {
    struct robust_list_head head;
    struct entry entries[4];
  }* shared = SYS(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  pid_t child = guest_fork();
  if (child == 0) {
    int tid = raw_gettid();
    for (int i = 0; i < 4; ++i) {
      shared->entries[i].list.next = i < 2 ? &shared->entries[i + 1].list : &shared->head.list;
    }
    shared->head.list.next = &shared->entries[0].list;
    shared->head.futex_offset = offsetof(struct entry, futex);
    shared->entries[0].futex = tid;
    shared->entries[1].futex = tid | (int)FUTEX_WAITERS;
    shared->entries[2].futex = tid + 1;  // Somebody else's: left alone.
    // Taken, but not yet in the list.
    shared->entries[3].futex = tid;
    shared->head.list_op_pending = &shared->entries[3].list;
    SYS(syscall(SYS_set_robust_list, &shared->head, sizeof shared->head));
    _exit(0);
  }
  REAP(child);
  CHECK_EQ((unsigned)shared->entries[0].futex, FUTEX_OWNER_DIED);
  CHECK_EQ((unsigned)shared->entries[1].futex, FUTEX_OWNER_DIED | FUTEX_WAITERS);
  CHECK_EQ(shared->entries[2].futex, child + 1);
  CHECK_EQ((unsigned)shared->entries[3].futex, FUTEX_OWNER_DIED);

  // A list that runs in a circle or through wild pointers harms nobody.
  child = guest_fork();
  if (child == 0) {
    shared->entries[0].list.next = &shared->entries[0].list;
    shared->entries[0].futex = raw_gettid();
    shared->head.list.next = &shared->entries[0].list;
    shared->head.list_op_pending = (struct robust_list*)16;
    SYS(syscall(SYS_set_robust_list, &shared->head, sizeof shared->head));
    _exit(0);
  }
  REAP(child);
  CHECK_EQ((unsigned)shared->entries[0].futex, FUTEX_OWNER_DIED);
  child = guest_fork();
  if (child == 0) {
    SYS(syscall(SYS_set_robust_list, 64, sizeof shared->head));
    _exit(0);
  }
  REAP(child);
  return guest_pass();
}
