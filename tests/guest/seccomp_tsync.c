// SECCOMP_FILTER_FLAG_TSYNC: the filter reaches the threads that run already; a thread that has gone another way is
// named by its virtual tid.
#include "filter.h"

static struct gate up, down[2];

static void* run(void* argument) {
  int index = (int)(intptr_t)argument;
  if (index == 1) {
    SYS(filter_one(SYS_dup3, SECCOMP_RET_ERRNO | EXDEV, 0));
  }
  gate_send(&up, raw_gettid());
  gate_wait(&down[index]);
  if (index == 0) {
    CHECK_ERRNO(syscall(SYS_getppid), EHOSTDOWN);
  }
  return NULL;
}

int main(void) {
  guest_begin();
  up = gate_make();
  down[0] = gate_make();
  down[1] = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    pthread_t thread = guest_thread(run, (void*)0);
    gate_receive(&up);
    CHECK_EQ(filter_one(SYS_getppid, SECCOMP_RET_ERRNO | EHOSTDOWN, SECCOMP_FILTER_FLAG_TSYNC), 0);
    CHECK_ERRNO(syscall(SYS_getppid), EHOSTDOWN);
    gate_open(&down[0]);
    guest_join(thread);
    // A thread with a filter of its own can't be brought into line.
    thread = guest_thread(run, (void*)1);
    pid_t tid = (pid_t)gate_receive(&up);
    CHECK_EQ(filter_one(SYS_dup2, SECCOMP_RET_ERRNO | EHOSTDOWN, SECCOMP_FILTER_FLAG_TSYNC), tid);
    gate_open(&down[1]);
    guest_join(thread);
    _exit(0);
  }
  REAP(child);
  return guest_pass();
}
