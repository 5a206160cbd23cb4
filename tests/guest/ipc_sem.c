// SysV semaphores: GETPID names who operated last; SEM_UNDO of a killed process is undone under its number.
#include <sys/ipc.h>
#include <sys/sem.h>

#include "guest.h"

union semun {
  int val;
  struct semid_ds* buf;
  unsigned short* array;
};

int main(void) {
  guest_begin();
  int id = SYS(semget(IPC_PRIVATE, 2, IPC_CREAT | 0600));
  SYS(semctl(id, 0, SETVAL, (union semun){.val = 1}));
  CHECK_EQ(semctl(id, 0, GETPID), getpid());
  CHECK_EQ(semctl(id, 1, GETPID), 0);
  struct gate up = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    struct sembuf take = {0, -1, SEM_UNDO};
    SYS(semop(id, &take, 1));
    gate_open(&up);
    for (;;) {
      pause();
    }
  }
  gate_wait(&up);
  CHECK_EQ(semctl(id, 0, GETPID), child);
  CHECK_EQ(semctl(id, 0, GETVAL), 0);
  SYS(kill(child, SIGKILL));
  REAP_SIGNAL(child, SIGKILL);
  CHECK_EQ(semctl(id, 0, GETVAL), 1);
  CHECK_EQ(semctl(id, 0, GETPID), child);

  // A blocking operation that another process lets go; GETNCNT counts the waiter.
  pid_t waiter = guest_fork();
  if (waiter == 0) {
    struct sembuf take = {1, -1, 0};
    SYS(semop(id, &take, 1));
    _exit(0);
  }
  while (semctl(id, 1, GETNCNT) != 1) {
    sched_yield();
  }
  struct sembuf give = {1, 1, 0};
  SYS(semop(id, &give, 1));
  REAP(waiter);
  CHECK_EQ(semctl(id, 1, GETVAL), 0);
  SYS(semctl(id, 0, IPC_RMID));
  return guest_pass();
}
