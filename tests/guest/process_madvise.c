// Calls that name another process's memory: process_madvise by pidfd, move_pages and migrate_pages by pid,
// get_robust_list.
#include <sys/mman.h>
#include <sys/uio.h>

#include "guest.h"

int main(void) {
  guest_begin();
  struct gate up = gate_make(), down = gate_make();
  char* memory = SYS(mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  memset(memory, 1, 4 * 4096);
  pid_t child = guest_fork();
  if (child == 0) {
    memset(memory, 2, 4 * 4096);
    gate_open(&up);
    gate_wait(&down);
    for (int i = 0; i < 4 * 4096; ++i) {
      CHECK_EQ(memory[i], 2);
    }
    _exit(0);
  }
  gate_wait(&up);
  int pidfd = (int)SYS(syscall(SYS_pidfd_open, child, 0));
  struct iovec range = {memory, 4 * 4096};
  long got = syscall(SYS_process_madvise, pidfd, &range, 1, MADV_COLD, 0);
  // Another process's memory needs CAP_SYS_NICE for it.
  CHECK(got == 4 * 4096 || (got == -1 && errno == EPERM && (geteuid() != 0 || under_beam())));
  void* pages[1] = {memory};
  int status[1] = {-1};
  got = syscall(SYS_move_pages, child, 1, pages, NULL, status, 0);
  // A kernel without NUMA has no such call.
  CHECK(got == 0 || errno == ENOSYS);
  if (got == 0) {
    CHECK(status[0] >= 0);
    CHECK_ERRNO(syscall(SYS_move_pages, 0x3fffffff, 1, pages, NULL, status, 0), ESRCH);
  }
  gate_open(&down);
  REAP(child);
  return guest_pass();
}
