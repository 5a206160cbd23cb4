// SIGEV_THREAD_ID: the timer's signal reaches the one thread that it names; unknown threads are refused.
#include "guest.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif
#ifndef SIGEV_THREAD_ID
#define SIGEV_THREAD_ID 4
#endif

static struct gate up, done, hit;

static void handler(int signal, siginfo_t* info, void* context) {
  (void)signal;
  (void)context;
  CHECK_EQ(info->si_code, SI_TIMER);
  CHECK_EQ(info->si_value.sival_int, 31);
  gate_send(&hit, raw_gettid());
}

static void* run(void* unused) {
  gate_send(&up, raw_gettid());
  gate_wait(&done);
  return unused;
}

int main(void) {
  guest_begin();
  up = gate_make();
  done = gate_make();
  hit = gate_make();
  guest_handle(SIGRTMIN + 1, handler, SA_RESTART);
  pthread_t threads[3];
  for (int i = 0; i < 3; ++i) {
    threads[i] = guest_thread(run, NULL);
    pid_t tid = (pid_t)gate_receive(&up);
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN + 1, .sigev_value.sival_int = 31};
    event.sigev_notify_thread_id = tid;
    timer_t timer;
    SYS(timer_create(CLOCK_MONOTONIC, &event, &timer));
    for (int shot = 0; shot < 5; ++shot) {
      struct itimerspec once = {.it_value = {0, 100000}};
      SYS(timer_settime(timer, 0, &once, NULL));
      CHECK_EQ(gate_receive(&hit), tid);
    }
    SYS(timer_delete(timer));
  }
  struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN + 1};
  event.sigev_notify_thread_id = 0x3fffffff;
  timer_t timer;
  CHECK_ERRNO(timer_create(CLOCK_MONOTONIC, &event, &timer), EINVAL);
  event.sigev_notify_thread_id = getppid();
  CHECK_ERRNO(timer_create(CLOCK_MONOTONIC, &event, &timer), EINVAL);
  for (int i = 0; i < 3; ++i) {
    gate_open(&done);  // any of them may be the one that this lets through
  }
  for (int i = 0; i < 3; ++i) {
    guest_join(threads[i]);
  }
  return guest_pass();
}
