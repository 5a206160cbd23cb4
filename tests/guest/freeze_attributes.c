// What each thread has of its own across a freeze: name, signal mask, alternate stack, niceness, policy, affinity, I/O
// priority, timer slack; and the process: umask, limits, oom_score_adj, subreaper, personality, prctl flags.
#include <sys/personality.h>
#include <sys/resource.h>

#include "guest.h"

enum { kThreads = 4 };
static pthread_barrier_t ready, go;
static pid_t tids[kThreads];

static int io_priority(pid_t tid) {
  return (int)syscall(SYS_ioprio_get, 1, tid);
}

static void* run(void* argument) {
  int number = (int)(intptr_t)argument;
  char name[16], stack[65536];
  tids[number] = raw_gettid();
  snprintf(name, sizeof name, "thread %d)(", number);
  SYS(prctl(PR_SET_NAME, name));
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR1 + number);
  sigaddset(&mask, SIGRTMIN + number);
  PTHREAD(pthread_sigmask(SIG_SETMASK, &mask, NULL));
  stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack, .ss_flags = number == 1 ? (int)(1U << 31) : 0};
  SYS(sigaltstack(&alternate, NULL));
  SYS(setpriority(PRIO_PROCESS, 0, number * 3));
  struct sched_param none = {0};
  SYS(sched_setscheduler(0, number == 2 ? SCHED_BATCH : number == 3 ? SCHED_IDLE : SCHED_OTHER, &none));
  cpu_set_t cpus;
  SYS(sched_getaffinity(0, sizeof cpus, &cpus));
  int first = 0;
  while (!CPU_ISSET(first, &cpus)) {
    ++first;
  }
  if (number == 1) {
    CPU_ZERO(&cpus);
    CPU_SET(first, &cpus);
    SYS(sched_setaffinity(0, sizeof cpus, &cpus));
  }
  SYS(syscall(SYS_ioprio_set, 1, 0, 2 << 13 | (number + 1)));
  SYS(prctl(PR_SET_TIMERSLACK, 1000 * (number + 1)));
  double x = 1.5 + number, y = x;
  pthread_barrier_wait(&ready);
  pthread_barrier_wait(&go);
  char got[16] = "";
  SYS(prctl(PR_GET_NAME, got));
  CHECK_STR(got, name);
  CHECK_EQ(raw_gettid(), tids[number]);
  sigset_t now;
  PTHREAD(pthread_sigmask(SIG_BLOCK, NULL, &now));
  for (int signal = 1; signal < 64; ++signal) {
    if (signal != 32 && signal != 33) {
      CHECK_EQ(sigismember(&now, signal), sigismember(&mask, signal));
    }
  }
  stack_t there;
  SYS(sigaltstack(NULL, &there));
  CHECK(there.ss_sp == alternate.ss_sp && there.ss_size == alternate.ss_size);
  CHECK_EQ(there.ss_flags, alternate.ss_flags);
  errno = 0;
  CHECK_EQ(getpriority(PRIO_PROCESS, 0), number * 3);
  CHECK_EQ(sched_getscheduler(0), number == 2 ? SCHED_BATCH : number == 3 ? SCHED_IDLE : SCHED_OTHER);
  cpu_set_t at;
  SYS(sched_getaffinity(0, sizeof at, &at));
  CHECK(CPU_EQUAL(&at, &cpus));
  CHECK_EQ(io_priority(0), 2 << 13 | (number + 1));
  CHECK_EQ(prctl(PR_GET_TIMERSLACK), 1000 * (number + 1));
  CHECK(x == y);
  stack_t off = {.ss_flags = SS_DISABLE};
  SYS(sigaltstack(&off, NULL));
  return NULL;
}

int main(void) {
  guest_begin();
  PTHREAD(pthread_barrier_init(&ready, NULL, kThreads + 1));
  PTHREAD(pthread_barrier_init(&go, NULL, kThreads + 1));
  umask(0137);
  struct rlimit files = {123, 200};
  SYS(setrlimit(RLIMIT_NOFILE, &files));
  struct rlimit core = {0, 0};
  SYS(setrlimit(RLIMIT_CORE, &core));
  SYS(prctl(PR_SET_CHILD_SUBREAPER, 1));
  SYS(personality(ADDR_NO_RANDOMIZE));
  SYS(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
  int adjust = SYS(open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
  CHECK_EQ(write(adjust, "345", 3), 3);
  SYS(close(adjust));
  bool keeps = prctl(PR_SET_KEEPCAPS, 1) == 0;
  pthread_t threads[kThreads];
  for (int i = 0; i < kThreads; ++i) {
    threads[i] = guest_thread(run, (void*)(intptr_t)i);
  }
  pthread_barrier_wait(&ready);
  guest_fence();
  pthread_barrier_wait(&go);
  for (int i = 0; i < kThreads; ++i) {
    guest_join(threads[i]);
  }
  CHECK_EQ(umask(0), 0137);
  struct rlimit now;
  SYS(getrlimit(RLIMIT_NOFILE, &now));
  CHECK_EQ(now.rlim_cur, 123);
  CHECK_EQ(now.rlim_max, 200);
  SYS(getrlimit(RLIMIT_CORE, &now));
  CHECK_EQ(now.rlim_max, 0);
  int subreaper = 0;
  SYS(prctl(PR_GET_CHILD_SUBREAPER, &subreaper));
  CHECK_EQ(subreaper, 1);
  CHECK_EQ(personality(0xffffffff), ADDR_NO_RANDOMIZE);
  CHECK_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1);
  char text[32];
  CHECK(read_file("/proc/self/oom_score_adj", text, sizeof text) > 0);
  CHECK_EQ(atoi(text), 345);
  if (keeps) {
    CHECK_EQ(prctl(PR_GET_KEEPCAPS), 1);
  }
  return guest_pass();
}
