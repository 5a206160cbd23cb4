// Calls that wait without a timeout, frozen while they wait: each goes on waiting, and ends with the right result when
// what it waits for comes. None of them shows EINTR.
#include <linux/futex.h>
#include <sys/eventfd.h>

#include "guest.h"

static int pipe_read[2], pipe_write[2], poll_pipe[2], event;
static uint32_t word = 1, bits = 1, waitv[2] = {1, 1};
static pthread_barrier_t barrier;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pid_t child;

static void wait_read(void) {
  char byte = 0;
  CHECK_EQ(read(pipe_read[0], &byte, 1), 1);
  CHECK_EQ(byte, 'r');
}
static void wait_write(void) {
  char page[4096] = {0};
  CHECK_EQ(write(pipe_write[1], page, sizeof page), sizeof page);
}
static void wait_poll(void) {
  struct pollfd poll_fd = {poll_pipe[0], POLLIN, 0};
  CHECK_EQ(poll(&poll_fd, 1, -1), 1);
  CHECK_EQ(poll_fd.revents, POLLIN);
}
static void wait_select(void) {
  fd_set set;
  FD_ZERO(&set);
  FD_SET(poll_pipe[0], &set);
  CHECK_EQ(select(poll_pipe[0] + 1, &set, NULL, NULL, NULL), 1);
  CHECK(FD_ISSET(poll_pipe[0], &set));
}
static void wait_eventfd(void) {
  uint64_t value = 0;
  CHECK_EQ(read(event, &value, sizeof value), sizeof value);
  CHECK_EQ(value, 9);
}
static void wait_futex(void) {
  while (__atomic_load_n(&word, __ATOMIC_SEQ_CST) == 1) {
    long got = syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
    CHECK(got == 0 || errno == EAGAIN);
  }
}
static void wait_futex_bits(void) {
  while (__atomic_load_n(&bits, __ATOMIC_SEQ_CST) == 1) {
    long got = syscall(SYS_futex, &bits, FUTEX_WAIT_BITSET_PRIVATE, 1, NULL, NULL, 4);
    CHECK(got == 0 || errno == EAGAIN);
  }
}
static void wait_futex_many(void) {
  struct futex_waitv many[2] = {{.val = 1, .uaddr = (uintptr_t)&waitv[0], .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG},
                                {.val = 1, .uaddr = (uintptr_t)&waitv[1], .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG}};
  while (__atomic_load_n(&waitv[1], __ATOMIC_SEQ_CST) == 1) {
    long got = syscall(449 /* futex_waitv */, many, 2, 0, NULL, 0);
    CHECK(got >= 0 || errno == EAGAIN);
  }
}
static void wait_barrier(void) {
  pthread_barrier_wait(&barrier);
}
static void wait_rwlock(void) {
  PTHREAD(pthread_rwlock_wrlock(&rwlock));
  PTHREAD(pthread_rwlock_unlock(&rwlock));
}
static void wait_signal(void) {
  sigset_t set;
  siginfo_t info;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  CHECK_EQ(sigwaitinfo(&set, &info), SIGUSR1);
  CHECK_EQ(info.si_value.sival_int, 1234);
}
static void wait_child(void) {
  REAP_CODE(child, 17);
}
static void (*const waiters[])(void) = {wait_read,    wait_write,  wait_poll,       wait_select,
                                        wait_eventfd, wait_futex,  wait_futex_bits, wait_futex_many,
                                        wait_barrier, wait_rwlock, wait_signal,     wait_child};
enum { kWaiters = sizeof waiters / sizeof *waiters };
static volatile pid_t tids[kWaiters];

static void* run(void* argument) {
  size_t index = (size_t)(uintptr_t)argument;
  tids[index] = raw_gettid();
  waiters[index]();
  return NULL;
}

int main(void) {
  guest_begin();
  SYS(pipe2(pipe_read, O_CLOEXEC));
  SYS(pipe2(pipe_write, O_CLOEXEC));
  SYS(pipe2(poll_pipe, O_CLOEXEC));
  event = SYS(eventfd(0, EFD_CLOEXEC));
  SYS(fcntl(pipe_write[1], F_SETPIPE_SZ, 4096));
  char page[4096] = {0};
  CHECK_EQ(write(pipe_write[1], page, sizeof page), sizeof page);
  PTHREAD(pthread_barrier_init(&barrier, NULL, 2));
  PTHREAD(pthread_rwlock_rdlock(&rwlock));
  guest_block(SIGUSR1);
  struct gate end = gate_make();
  child = guest_fork();
  if (child == 0) {
    gate_wait(&end);
    _exit(17);
  }
  pthread_t threads[kWaiters];
  for (size_t i = 0; i < kWaiters; ++i) {
    threads[i] = guest_thread(run, (void*)(uintptr_t)i);
  }
  for (size_t i = 0; i < kWaiters; ++i) {
    while (tids[i] == 0) {
      sched_yield();
    }
    wait_state(getpid(), tids[i], "S");
  }
  for (int i = 0; i < 3; ++i) {
    guest_fence();
    for (size_t k = 0; k < kWaiters; ++k) {
      wait_state(getpid(), tids[k], "S");
    }
  }
  CHECK_EQ(write(pipe_read[1], "r", 1), 1);
  CHECK_EQ(read(pipe_write[0], page, sizeof page), sizeof page);
  CHECK_EQ(write(poll_pipe[1], "p", 1), 1);
  uint64_t nine = 9;
  CHECK_EQ(write(event, &nine, sizeof nine), sizeof nine);
  __atomic_store_n(&word, 2, __ATOMIC_SEQ_CST);
  CHECK_EQ(syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0), 1);
  __atomic_store_n(&bits, 2, __ATOMIC_SEQ_CST);
  CHECK_EQ(syscall(SYS_futex, &bits, FUTEX_WAKE_BITSET_PRIVATE, 1, NULL, NULL, 3), 0);
  CHECK_EQ(syscall(SYS_futex, &bits, FUTEX_WAKE_BITSET_PRIVATE, 1, NULL, NULL, 4), 1);
  __atomic_store_n(&waitv[1], 2, __ATOMIC_SEQ_CST);
  CHECK_EQ(syscall(SYS_futex, &waitv[1], FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0), 1);
  pthread_barrier_wait(&barrier);
  PTHREAD(pthread_rwlock_unlock(&rwlock));
  union sigval value = {.sival_int = 1234};
  SYS(sigqueue(getpid(), SIGUSR1, value));
  gate_open(&end);
  for (size_t i = 0; i < kWaiters; ++i) {
    guest_join(threads[i]);
  }
  return guest_pass();
}
