// Calls that wait with a timeout, frozen over and over while they wait: each ends at its time, no sooner and not by the
// number of freezes later, with the result of a wait that nothing disturbed.
#include <linux/futex.h>
#include <mqueue.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/time.h>

#include "guest.h"

enum { kWaitMs = 300, kLatestMs = 40000 };

static struct timespec wait_time = {0, kWaitMs * 1000000L};
static int quiet[2];  // nothing is ever written to it

static struct timespec at(clockid_t clock) {
  struct timespec time;
  SYS(clock_gettime(clock, &time));
  time.tv_nsec += kWaitMs * 1000000L;
  time.tv_sec += time.tv_nsec / 1000000000L;
  time.tv_nsec %= 1000000000L;
  return time;
}

static void wait_nanosleep(void) {
  CHECK_EQ(syscall(SYS_nanosleep, &wait_time, NULL), 0);
}
static void wait_nanosleep_rest(void) {
  struct timespec rest = {77, 77};
  CHECK_EQ(syscall(SYS_nanosleep, &wait_time, &rest), 0);
}
static void wait_clock_monotonic(void) {
  CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, &wait_time, NULL), 0);
}
static void wait_clock_boottime(void) {
  struct timespec rest;
  CHECK_EQ(clock_nanosleep(CLOCK_BOOTTIME, 0, &wait_time, &rest), 0);
}
static void wait_clock_realtime(void) {
  CHECK_EQ(clock_nanosleep(CLOCK_REALTIME, 0, &wait_time, NULL), 0);
}
static void wait_until(clockid_t clock) {
  struct timespec time = at(clock), now;
  CHECK_EQ(clock_nanosleep(clock, TIMER_ABSTIME, &time, NULL), 0);
  SYS(syscall(SYS_clock_gettime, clock, &now));
  CHECK(now.tv_sec > time.tv_sec || (now.tv_sec == time.tv_sec && now.tv_nsec >= time.tv_nsec));
}
static void wait_until_monotonic(void) {
  wait_until(CLOCK_MONOTONIC);
}
static void wait_until_boottime(void) {
  wait_until(CLOCK_BOOTTIME);
}
static void wait_until_realtime(void) {
  wait_until(CLOCK_REALTIME);
}
static void wait_poll(void) {
  struct pollfd poll_fd = {quiet[0], POLLIN, 0};
  CHECK_EQ(syscall(SYS_poll, &poll_fd, 1, kWaitMs), 0);
}
static void wait_ppoll(void) {
  struct pollfd poll_fd = {quiet[0], POLLIN, 0};
  CHECK_EQ(ppoll(&poll_fd, 1, &wait_time, NULL), 0);
}
static void wait_select(void) {
  struct timeval time = {0, kWaitMs * 1000};
  fd_set set;
  FD_ZERO(&set);
  FD_SET(quiet[0], &set);
  CHECK_EQ(select(quiet[0] + 1, &set, NULL, NULL, &time), 0);
}
static void wait_pselect(void) {
  struct timespec time = wait_time;
  CHECK_EQ(pselect(0, NULL, NULL, NULL, &time, NULL), 0);
}
static void wait_futex(void) {
  uint32_t word = 5;
  CHECK_ERRNO(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 5, &wait_time, NULL, 0), ETIMEDOUT);
}
static void wait_futex_until(void) {
  uint32_t word = 5;
  struct timespec time = at(CLOCK_MONOTONIC);
  CHECK_ERRNO(syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 5, &time, NULL, FUTEX_BITSET_MATCH_ANY), ETIMEDOUT);
}
static void wait_futex_real(void) {
  uint32_t word = 5;
  struct timespec time = at(CLOCK_REALTIME);
  CHECK_ERRNO(syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME, 5, &time, NULL, ~0),
              ETIMEDOUT);
}
static void wait_condition(void) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_condattr_t attributes;
  pthread_cond_t condition;
  PTHREAD(pthread_condattr_init(&attributes));
  PTHREAD(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC));
  PTHREAD(pthread_cond_init(&condition, &attributes));
  PTHREAD(pthread_mutex_lock(&mutex));
  struct timespec time = at(CLOCK_MONOTONIC);
  int got;
  do {
    got = pthread_cond_timedwait(&condition, &mutex, &time);
  } while (got == 0);
  CHECK_EQ(got, ETIMEDOUT);
  PTHREAD(pthread_mutex_unlock(&mutex));
}
static void wait_mutex_pi(void) {
  pthread_mutexattr_t attributes;
  static pthread_mutex_t mutex;
  PTHREAD(pthread_mutexattr_init(&attributes));
  PTHREAD(pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT));
  PTHREAD(pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_NORMAL));
  PTHREAD(pthread_mutex_init(&mutex, &attributes));
  // The lock of another thread, which has ended by the time of the timeout at the earliest.
  uint32_t word = (uint32_t)getpid() | FUTEX_WAITERS;
  struct timespec time = at(CLOCK_REALTIME);
  CHECK_ERRNO(syscall(SYS_futex, &word, FUTEX_LOCK_PI_PRIVATE, 0, &time, NULL, 0), ETIMEDOUT);
}
static void wait_sigtimedwait(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  CHECK_ERRNO(sigtimedwait(&set, NULL, &wait_time), EAGAIN);
}
static void wait_semtimedop(void) {
  int id = SYS(semget(IPC_PRIVATE, 1, 0600));
  struct sembuf take = {0, -1, 0};
  int got = semtimedop(id, &take, 1, &wait_time), error = errno;
  SYS(semctl(id, 0, IPC_RMID));
  CHECK_EQ(got, -1);
  CHECK_EQ(error, EAGAIN);
}
static void wait_mq(void) {
  struct mq_attr attributes = {.mq_maxmsg = 2, .mq_msgsize = 16};
  char name[64], text[16];
  snprintf(name, sizeof name, "/guest-%d-%ld", (int)getpid(), (long)now_ns());
  mqd_t queue = SYS(mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes));
  mq_unlink(name);
  struct timespec time = at(CLOCK_REALTIME);
  CHECK_ERRNO(mq_timedreceive(queue, text, sizeof text, NULL, &time), ETIMEDOUT);
  mq_close(queue);
}
static void wait_epoll(void) {
  int epoll = SYS(epoll_create1(EPOLL_CLOEXEC));
  struct epoll_event event = {.events = EPOLLIN};
  CHECK_EQ(epoll_wait(epoll, &event, 1, kWaitMs), 0);
  close(epoll);
}
struct waiter {
  void (*wait)(void);
  const char* name;
  bool real;
};
#define W(name) \
  { wait_##name, #name, false }
#define REAL(name) \
  { wait_##name, #name, true }
static const struct waiter plain[] = {W(nanosleep),      W(nanosleep_rest),  W(clock_monotonic), W(clock_boottime),
                                      W(clock_realtime), W(until_monotonic), W(until_boottime),  REAL(until_realtime),
                                      W(poll),           W(ppoll),           W(select),          W(pselect),
                                      W(futex),          W(futex_until),     REAL(futex_real),   W(condition),
                                      REAL(mutex_pi),    W(sigtimedwait),    W(semtimedop),      W(epoll),
                                      REAL(mq)};
static volatile int left;

static void* run(void* argument) {
  const struct waiter* waiter = argument;
  const uint64_t began = now_ns();
  waiter->wait();
  const uint64_t took = now_ns() - began;
  // Real time goes on while all else is frozen: a wait until a time of its clock may seem short.
  if ((took < (kWaitMs - 5) * 1000000ull && !waiter->real) || took > kLatestMs * 1000000ull) {
    FAIL("%s waited %llu ms instead of %d", waiter->name, (unsigned long long)took / 1000000, kWaitMs);
  }
  __atomic_sub_fetch(&left, 1, __ATOMIC_SEQ_CST);
  return NULL;
}

int main(void) {
  guest_begin();
  const struct waiter* set = plain;
  const size_t count = sizeof plain / sizeof *plain;
  SYS(pipe2(quiet, O_CLOEXEC));
  guest_block(SIGUSR2);
  pthread_t threads[32];
  left = (int)count;
  for (size_t i = 0; i < count; ++i) {
    threads[i] = guest_thread(run, (void*)&set[i]);
  }
  // As long as anything waits: a wait that begins anew with each freeze never ends.
  const uint64_t began = now_ns();
  while (__atomic_load_n(&left, __ATOMIC_SEQ_CST) > 0) {
    guest_fence();
    sched_yield();
    CHECK(now_ns() - began < kLatestMs * 1000000ull);
  }
  for (size_t i = 0; i < count; ++i) {
    guest_join(threads[i]);
  }
  return guest_pass();
}
