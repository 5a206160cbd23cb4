// System V and POSIX queues, timers and clocks, as far as they carry pids.
#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

#include "calls.h"

static pid_t self, child, dead;
union semun {
  int val;
  struct semid_ds* buf;
  unsigned short* array;
  void* pointer;
};

static void queues(void) {
  int id = msgget(IPC_PRIVATE, 0600);
  struct msqid_ds state;
  struct {
    long type;
    char text[4];
  } message = {1, "abc"};
  T(msgctl(id, IPC_STAT, &state));
  V(state.msg_lspid);
  V(state.msg_lrpid);
  T(msgsnd(id, &message, 4, 0));
  T(msgctl(id, IPC_STAT, &state));
  IS(state.msg_lspid, self);
  V(state.msg_lrpid);
  pid_t reader = fork();
  if (reader == 0) {
    T(msgrcv(id, &message, 4, 0, IPC_NOWAIT));
    _exit(0);
  }
  waitpid(reader, NULL, 0);
  T(msgctl(id, IPC_STAT, &state));
  IS(state.msg_lrpid, reader);
  T(msgctl(id, IPC_STAT, NONE));
  T(msgctl(id, IPC_STAT, BAD));
  T(msgctl(id, IPC_STAT, (void*)readable));
  T(msgctl(-1, IPC_STAT, &state));
  T(msgctl(id, 99, &state));
  T(msgctl(id, IPC_SET, BAD));
  T(msgctl(-1, MSG_STAT, &state));
  T(msgctl(-1, MSG_STAT_ANY, &state));
  T(msgctl(id, IPC_RMID, NULL));
  T(msgctl(id, IPC_STAT, &state));
}

static void semaphores(void) {
  int id = semget(IPC_PRIVATE, 2, 0600);
  T(semctl(id, 0, GETPID));
  T(semctl(id, 2, GETPID));
  T(semctl(id, -1, GETPID));
  T(semctl(-1, 0, GETPID));
  T(semctl(id, 0, SETVAL, (union semun){.val = 3}));
  IS(semctl(id, 0, GETPID), self);
  pid_t taker = fork();
  if (taker == 0) {
    struct sembuf take = {0, -1, IPC_NOWAIT};
    T(semop(id, &take, 1));
    _exit(0);
  }
  waitpid(taker, NULL, 0);
  IS(semctl(id, 0, GETPID), taker);
  unsigned short all[2] = {1, 1};
  T(semctl(id, 0, SETALL, (union semun){.array = all}));
  IS(semctl(id, 1, GETPID), self);
  T(semctl(id, 0, 99));
  T(semctl(id, 0, IPC_STAT, (union semun){.pointer = BAD}));
  T(semctl(id, 0, IPC_RMID));
}

static void segments(void) {
  int id = shmget(IPC_PRIVATE, 4096, 0600);
  struct shmid_ds state;
  T(shmctl(id, IPC_STAT, &state));
  IS(state.shm_cpid, self);
  V(state.shm_lpid);
  void* at = shmat(id, NULL, 0);
  T(shmctl(id, IPC_STAT, &state));
  IS(state.shm_lpid, self);
  pid_t user = fork();
  if (user == 0) {
    shmdt(at);
    _exit(0);
  }
  waitpid(user, NULL, 0);
  T(shmctl(id, IPC_STAT, &state));
  IS(state.shm_lpid, user);
  IS(state.shm_cpid, self);
  T(shmctl(id, IPC_STAT, NONE));
  T(shmctl(id, IPC_STAT, BAD));
  T(shmctl(id, IPC_STAT, (void*)readable));
  T(shmctl(-1, IPC_STAT, &state));
  T(shmctl(id, 99, &state));
  T(shmctl(-1, SHM_STAT, &state));
  T(shmctl(id, IPC_RMID, NULL));
}

static siginfo_t got;
static void handle(int signal, siginfo_t* info, void* context) {
  (void)context, (void)signal;
  got = *info;
}

static void notifications(void) {
  char name[64];
  snprintf(name, sizeof name, "/calls-%d-%d", (int)getppid(), (int)self);
  struct mq_attr attributes = {.mq_maxmsg = 2, .mq_msgsize = 8};
  mqd_t queue = mq_open(name, O_RDWR | O_CREAT | O_NONBLOCK, 0600, &attributes);
  mq_unlink(name);
  struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_RESTART};
  sigaction(SIGUSR1, &action, NULL);
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
  event.sigev_value.sival_int = 5;
  T(mq_notify(queue, &event));
  T(mq_notify(queue, &event));
  T(mq_notify(-1, &event));
  T(syscall(SYS_mq_notify, queue, BAD));
  pid_t sender = fork();
  if (sender == 0) {
    T(mq_notify(queue, &event));
    T(mq_notify(queue, NULL));
    T(mq_send(queue, "x", 1, 0));
    _exit(0);
  }
  waitpid(sender, NULL, 0);
  while (got.si_signo == 0) {
    sched_yield();
  }
  V(got.si_code);
  IS(got.si_pid, sender);
  V(got.si_value.sival_int);
  event.sigev_signo = 65;
  T(mq_notify(queue, &event));
  event.sigev_notify = 9;
  T(mq_notify(queue, &event));
  T(mq_notify(queue, NULL));
}

static void clocks(void) {
  struct timespec now, zero = {0, 0};
  clockid_t of[] = {(clockid_t)(~(unsigned)self << 3 | 2),
                    (clockid_t)(~(unsigned)child << 3 | 2),
                    (clockid_t)(~(unsigned)dead << 3 | 2),
                    (clockid_t)(~0x1000000u << 3 | 2),
                    (clockid_t)(~(unsigned)self << 3 | 6),
                    (clockid_t)(~(unsigned)child << 3 | 6),
                    (clockid_t)(~(unsigned)self << 3 | 1),
                    (clockid_t)(~(unsigned)self << 3 | 3),
                    (clockid_t)(~0u << 3 | 2),
                    (clockid_t)(~0u << 3 | 6),
                    -1,
                    INT_MIN,
                    12,
                    99,
                    15,
                    16};
  for (unsigned i = 0; i < sizeof of / sizeof *of; ++i) {
    clockid_t clock = of[i];
    printf("clock %u\n", i);
    OK(clock_gettime(clock, &now));
    OK(clock_getres(clock, &now));
    OK(clock_getres(clock, NULL));
    T(syscall(SYS_clock_gettime, clock, BAD));
    T(syscall(SYS_clock_getres, clock, BAD));
    T(syscall(SYS_clock_nanosleep, clock, 0, &zero, NONE));
    T(syscall(SYS_clock_nanosleep, clock, 0, BAD, NONE));
    T(syscall(SYS_clock_nanosleep, clock, 77, &zero, NONE));
    if (getuid() != 0) {
      T(syscall(SYS_clock_settime, clock, BAD));
      T(syscall(SYS_clock_settime, clock, &zero));
    }
    int timer = -1;
    struct sigevent event = {.sigev_notify = SIGEV_NONE};
    T(syscall(SYS_timer_create, clock, &event, BAD));
    T(syscall(SYS_timer_create, clock, BAD, &timer));
    OK(syscall(SYS_timer_create, clock, &event, &timer));
    T(syscall(SYS_timer_delete, timer));
    event = (struct sigevent){.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
    pid_t threads[] = {self, child, dead, kNobody, 0, -1};
    for (unsigned t = 0; t < 6; ++t) {
      event._sigev_un._tid = threads[t];
      errno = 0;
      long result = syscall(SYS_timer_create, clock, &event, &timer);
      printf("timer of clock %u for thread %u = %ld %d\n", i, t, result, errno);
      if (result == 0) {
        syscall(SYS_timer_delete, timer);
      }
    }
    event.sigev_signo = 65;
    event._sigev_un._tid = self;
    T(syscall(SYS_timer_create, clock, &event, &timer));
    event.sigev_notify = 7;
    T(syscall(SYS_timer_create, clock, &event, &timer));
  }
  T(syscall(SYS_timer_gettime, 999, &now));
  T(syscall(SYS_timer_getoverrun, 999));
}

int main(void) {
  transcript_begin();
  self = getpid();
  dead = fork();
  if (dead == 0) {
    _exit(0);
  }
  waitpid(dead, NULL, 0);
  child = fork();
  if (child == 0) {
    for (;;) {
      pause();
    }
  }
  queues();
  semaphores();
  segments();
  notifications();
  clocks();
  kill(child, SIGKILL);
  return 0;
}
