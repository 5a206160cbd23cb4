// Processor-time clocks that carry a pid: of a child by pid, of a thread by tid; nobody's is refused.
#include "guest.h"

static struct gate up, done;
static pthread_t spinning;

static void* spin(void* unused) {
  struct timespec now;
  do {
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  } while (now.tv_nsec < 10000000 && now.tv_sec == 0);
  gate_open(&up);
  gate_wait(&done);
  return unused;
}

int main(void) {
  guest_begin();
  up = gate_make();
  done = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    spin(NULL);
    _exit(0);
  }
  gate_wait(&up);
  clockid_t clock;
  PTHREAD(clock_getcpuclockid(child, &clock));
  struct timespec time = {0, 0};
  SYS(clock_gettime(clock, &time));
  CHECK(time.tv_sec > 0 || time.tv_nsec >= 9000000);
  CHECK(time.tv_sec < 50);
  SYS(clock_getres(clock, &time));
  gate_open(&done);
  REAP(child);
  CHECK_ERRNO(clock_gettime(clock, &time), EINVAL);
  CHECK_EQ(clock_getcpuclockid(0x1ffffff, &clock), ESRCH);

  PTHREAD(clock_getcpuclockid(getpid(), &clock));
  struct timespec own = {0, 0}, direct = {0, 0};
  SYS(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &direct));
  SYS(clock_gettime(clock, &own));
  CHECK(own.tv_sec > direct.tv_sec || (own.tv_sec == direct.tv_sec && own.tv_nsec >= direct.tv_nsec));

  spinning = guest_thread(spin, NULL);
  gate_wait(&up);
  PTHREAD(pthread_getcpuclockid(spinning, &clock));
  SYS(clock_gettime(clock, &time));
  CHECK(time.tv_sec > 0 || time.tv_nsec >= 9000000);
  // A timer on another thread's clock, and one on a clock of nobody.
  timer_t timer;
  struct sigevent event = {.sigev_notify = SIGEV_NONE};
  SYS(timer_create(clock, &event, &timer));
  SYS(timer_delete(timer));
  clockid_t nobody = (clockid_t)((~0x1ffffffu << 3) | 2);
  CHECK_ERRNO(timer_create(nobody, &event, &timer), EINVAL);
  CHECK_ERRNO(clock_gettime(nobody, &time), EINVAL);
  gate_open(&done);
  guest_join(spinning);
  return guest_pass();
}
