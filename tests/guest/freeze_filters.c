// A program's own seccomp filters hold across a freeze: several of them, of one thread only, and inherited by a child.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>

#include "guest.h"

static void refuse(int number, int error) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof code / sizeof *code, code};
  SYS(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
}

static pthread_barrier_t barrier;
static void* run(void* argument) {
  (void)argument;
  refuse(SYS_getuid, EDOM);
  pthread_barrier_wait(&barrier);
  pthread_barrier_wait(&barrier);
  CHECK_ERRNO(syscall(SYS_getuid), EDOM);
  CHECK_ERRNO(syscall(SYS_getgid), ERANGE);
  return NULL;
}

int main(void) {
  guest_begin();
  SYS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  PTHREAD(pthread_barrier_init(&barrier, NULL, 2));
  refuse(SYS_getgid, ERANGE);
  refuse(SYS_geteuid, EXDEV);
  struct gate gate = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    gate_wait(&gate);
    CHECK_ERRNO(syscall(SYS_getgid), ERANGE);
    refuse(SYS_getegid, E2BIG);
    CHECK_ERRNO(syscall(SYS_getegid), E2BIG);
    CHECK_EQ(prctl(PR_GET_SECCOMP), 2);
    _exit(3);
  }
  pthread_t thread = guest_thread(run, NULL);
  pthread_barrier_wait(&barrier);
  guest_fence();
  CHECK_ERRNO(syscall(SYS_getgid), ERANGE);
  CHECK_ERRNO(syscall(SYS_geteuid), EXDEV);
  CHECK(syscall(SYS_getuid) >= 0);
  CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
  guest_fence();
  pthread_barrier_wait(&barrier);
  guest_join(thread);
  gate_open(&gate);
  guest_fence();
  REAP_CODE(child, 3);
  return guest_pass();
}
