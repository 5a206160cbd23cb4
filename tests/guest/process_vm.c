// process_vm_readv and process_vm_writev between parent and child, by pid and by a thread's tid.
#include <sys/uio.h>

#include "guest.h"

static char text[32] = "before";

int main(void) {
  guest_begin();
  struct gate up = gate_make(), down = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    strcpy(text, "child");
    gate_open(&up);
    gate_wait(&down);
    CHECK_STR(text, "written");
    _exit(0);
  }
  gate_wait(&up);
  char buffer[32] = "";
  struct iovec local = {buffer, sizeof buffer}, remote = {text, sizeof text};
  ssize_t got = process_vm_readv(child, &local, 1, &remote, 1, 0);
  if (got < 0) {
    FAIL("process_vm_readv: errno %d (%s)", errno, strerror(errno));
  }
  CHECK_EQ(got, sizeof text);
  CHECK_STR(buffer, "child");
  CHECK_STR(text, "before");
  strcpy(buffer, "written");
  CHECK_EQ(process_vm_writev(child, &local, 1, &remote, 1, 0), sizeof text);
  gate_open(&down);
  REAP(child);
  CHECK_EQ(process_vm_readv(getpid(), &local, 1, &remote, 1, 0), sizeof text);
  CHECK_STR(buffer, "before");
  CHECK_ERRNO(process_vm_readv(child, &local, 1, &remote, 1, 0), ESRCH);
  CHECK_ERRNO(process_vm_readv(0x3fffffff, &local, 1, &remote, 1, 0), ESRCH);
  remote.iov_base = (void*)8;
  CHECK_ERRNO(process_vm_readv(getpid(), &local, 1, &remote, 1, 0), EFAULT);
  CHECK_ERRNO(process_vm_readv(getpid(), &local, 1, &remote, 1, 1), EINVAL);
  return guest_pass();
}
