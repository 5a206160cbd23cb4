// kcmp between two processes by pid: shared and separate files, memory and tables.
#include <linux/kcmp.h>

#include "guest.h"

static long kcmp(pid_t first, pid_t second, int type, unsigned long a, unsigned long b) {
  return syscall(SYS_kcmp, first, second, type, a, b);
}

int main(void) {
  guest_begin();
  struct gate up = gate_make(), down = gate_make();
  int fd = SYS(open("file", O_RDWR | O_CREAT, 0600));
  pid_t child = guest_fork();
  if (child == 0) {
    int other = SYS(open("file", O_RDWR));
    gate_send(&up, other);
    gate_wait(&down);
    _exit(0);
  }
  int other = (int)gate_receive(&up);
  pid_t self = getpid();
  CHECK_EQ(kcmp(self, child, KCMP_FILE, (unsigned long)fd, (unsigned long)fd), 0);
  CHECK(SYS(kcmp(self, child, KCMP_FILE, (unsigned long)fd, (unsigned long)other)) > 0);
  CHECK(SYS(kcmp(self, child, KCMP_VM, 0, 0)) > 0);
  CHECK(SYS(kcmp(self, child, KCMP_FILES, 0, 0)) > 0);
  CHECK_EQ(kcmp(self, self, KCMP_VM, 0, 0), 0);
  CHECK_EQ(kcmp(child, child, KCMP_FILES, 0, 0), 0);
  CHECK_ERRNO(kcmp(self, child, KCMP_FILE, (unsigned long)fd, 999), EBADF);
  CHECK_ERRNO(kcmp(self, 0x3fffffff, KCMP_VM, 0, 0), ESRCH);
  CHECK_ERRNO(kcmp(self, child, 99, 0, 0), EINVAL);
  gate_open(&down);
  REAP(child);
  return guest_pass();
}
