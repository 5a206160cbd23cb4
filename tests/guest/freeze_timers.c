// Timers across freezes: POSIX timers keep ids (with gaps), clocks, intervals, what they signal and whom; interval
// timers and alarms go off; a timer that has been stopped stays so.
#include <sys/time.h>

#include "guest.h"

static volatile sig_atomic_t real, virtual_, prof, queued[3];
static volatile pid_t thread_signalled;
static void on_alarm(int signal) {
  (void)signal;
  ++real;
}
static void on_virtual(int signal) {
  (void)signal;
  ++virtual_;
}
static void on_prof(int signal) {
  (void)signal;
  ++prof;
}
static void on_timer(int signal, siginfo_t* info, void* context) {
  (void)signal, (void)context;
  CHECK_EQ(info->si_code, SI_TIMER);
  if (info->si_value.sival_int >= 0 && info->si_value.sival_int < 3) {
    ++queued[info->si_value.sival_int];
  }
}
static void on_thread(int signal, siginfo_t* info, void* context) {
  (void)signal, (void)context;
  CHECK_EQ(info->si_value.sival_int, 77);
  thread_signalled = raw_gettid();
}

static volatile pid_t other;
static volatile bool stop;
static void* run(void* argument) {
  (void)argument;
  other = raw_gettid();
  while (!stop) {
    sched_yield();
  }
  return NULL;
}

static int make(clockid_t clock, int notify, int signal, int value, pid_t thread) {
  struct sigevent event = {.sigev_notify = notify, .sigev_signo = signal, .sigev_value.sival_int = value};
  event._sigev_un._tid = thread;
  int id = -1;
  SYS(syscall(SYS_timer_create, clock, &event, &id));
  return id;
}

static void set(int id, int flags, long value_ms, long interval_ms) {
  struct itimerspec time = {{interval_ms / 1000, interval_ms % 1000 * 1000000},
                            {value_ms / 1000, value_ms % 1000 * 1000000}};
  SYS(syscall(SYS_timer_settime, id, flags, &time, NULL));
}

int main(void) {
  guest_begin();
  guest_handle(SIGRTMIN + 1, on_timer, SA_RESTART);
  guest_handle(SIGRTMIN + 2, on_thread, SA_RESTART);
  signal(SIGVTALRM, on_virtual);
  signal(SIGPROF, on_prof);
  pthread_t thread = guest_thread(run, NULL);
  while (other == 0) {
    sched_yield();
  }
  int gaps[3];
  for (int i = 0; i < 3; ++i) {
    gaps[i] = make(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0, 0);
  }
  int often = make(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN + 1, 0, 0);
  int once = make(CLOCK_REALTIME, SIGEV_SIGNAL, SIGRTMIN + 1, 1, 0);
  int cpu = make(CLOCK_PROCESS_CPUTIME_ID, SIGEV_SIGNAL, SIGRTMIN + 1, 2, 0);
  int there = make(CLOCK_BOOTTIME, SIGEV_THREAD_ID, SIGRTMIN + 2, 77, other);
  int none = make(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0, 0);
  int idle = make(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN + 1, 0, 0);
  for (int i = 0; i < 3; ++i) {
    SYS(syscall(SYS_timer_delete, gaps[i]));
  }
  set(often, 0, 30, 30);
  set(once, 0, 100, 0);
  set(cpu, 0, 50, 0);
  set(there, 0, 100, 0);
  set(none, 0, 100000, 5000);
  struct itimerval fast = {{0, 20000}, {0, 20000}};
  SYS(setitimer(ITIMER_VIRTUAL, &fast, NULL));
  SYS(setitimer(ITIMER_PROF, &fast, NULL));
  const uint64_t began = now_ns();
  guest_fence();
  struct itimerspec left;
  SYS(syscall(SYS_timer_gettime, idle, &left));
  CHECK_EQ(left.it_value.tv_sec + left.it_value.tv_nsec, 0);
  SYS(syscall(SYS_timer_gettime, none, &left));
  CHECK_EQ(left.it_interval.tv_sec, 5);
  CHECK(left.it_value.tv_sec <= 100 && left.it_value.tv_sec >= 100 - (long)((now_ns() - began) / 1000000000) - 2);
  while (queued[0] < 3 || queued[1] < 1 || queued[2] < 1 || virtual_ < 2 || prof < 2 || thread_signalled == 0) {
  }
  CHECK_EQ(queued[1], 1);
  CHECK_EQ(queued[2], 1);
  CHECK_EQ(thread_signalled, other);
  guest_fence();
  for (int before = queued[0]; queued[0] < before + 2;) {
  }
  SYS(syscall(SYS_timer_delete, often));
  SYS(syscall(SYS_timer_delete, idle));
  CHECK_ERRNO(syscall(SYS_timer_delete, gaps[0]), EINVAL);
  // alarm(2), which the guest's own deadline uses.
  signal(SIGALRM, on_alarm);
  alarm(1);
  guest_fence();
  while (real == 0) {
  }
  CHECK_EQ(alarm(100), 0);
  stop = true;
  guest_join(thread);
  return guest_pass();
}
