// System V IPC across a freeze: ids, keys, contents and permissions of shared memory, semaphores and message queues;
// memory attached twice, read-only, in part, and removed while attached; undo values; waits that go on.
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

#include "guest.h"

enum { kPage = 4096 };
struct message {
  long type;
  char text[64];
};
union semun {
  int val;
  struct semid_ds* set;
  unsigned short* array;
};

static int sem_value(int id, int number) {
  return SYS(semctl(id, number, GETVAL));
}

int main(void) {
  guest_begin();
  const key_t key = (key_t)(0x42000000 | (getpid() & 0xffff) << 4);
  int memory = SYS(shmget(key, 5 * kPage + 100, IPC_CREAT | IPC_EXCL | 0640));
  int removed = SYS(shmget(IPC_PRIVATE, kPage, 0600));
  char* first = shmat(memory, NULL, 0);
  char* second = shmat(memory, NULL, SHM_RDONLY);
  char* gone = shmat(removed, NULL, 0);
  CHECK(first != (void*)-1 && second != (void*)-1 && gone != (void*)-1);
  SYS(shmctl(removed, IPC_RMID, NULL));
  memset(first + kPage, 'm', kPage);
  strcpy(gone, "still here");
  SYS(munmap(first + 2 * kPage, kPage));
  SYS(mprotect(first + 3 * kPage, kPage, PROT_READ));
  int semaphores = SYS(semget(key + 1, 4, IPC_CREAT | 0600));
  unsigned short values[4] = {3, 0, 7, 20};
  union semun argument = {.array = values};
  SYS(semctl(semaphores, 0, SETALL, argument));
  int queue = SYS(msgget(key + 2, IPC_CREAT | 0600));
  for (int i = 0; i < 5; ++i) {
    struct message message = {.type = 1 + i % 2};
    snprintf(message.text, sizeof message.text, "message %d", i);
    SYS(msgsnd(queue, &message, (size_t)(10 + i), 0));
  }
  struct gate ready = gate_make(), go = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    struct sembuf take = {0, -2, SEM_UNDO}, give = {2, 5, SEM_UNDO};
    SYS(semop(semaphores, &take, 1));
    SYS(semop(semaphores, &give, 1));
    gate_open(&ready);
    gate_wait(&go);
    first[4 * kPage] = 'c';
    _exit(0);  // gives two back, takes five
  }
  pid_t waiter = guest_fork();
  if (waiter == 0) {
    struct sembuf wait = {1, -1, 0};
    gate_open(&ready);
    SYS(semop(semaphores, &wait, 1));
    struct message message;
    gate_open(&ready);
    CHECK_EQ(SYS(msgrcv(queue, &message, sizeof message.text, 9, 0)), 5);
    CHECK_STR(message.text, "nine");
    _exit(0);
  }
  gate_wait(&ready);
  gate_wait(&ready);
  wait_state(waiter, waiter, "S");
  for (int round = 0; round < 2; ++round) {
    guest_fence();
    CHECK_EQ(SYS(shmget(key, 0, 0)), memory);
    CHECK_EQ(SYS(semget(key + 1, 0, 0)), semaphores);
    CHECK_EQ(SYS(msgget(key + 2, 0)), queue);
    CHECK_ERRNO(shmget(key, 0, IPC_CREAT | IPC_EXCL), EEXIST);
    struct shmid_ds info;
    SYS(shmctl(memory, IPC_STAT, &info));
    CHECK_EQ(info.shm_segsz, 5 * kPage + 100);
    CHECK_EQ(info.shm_perm.mode & 0777, 0640);
    CHECK_EQ(info.shm_perm.__key, key);
    CHECK_EQ(info.shm_cpid, getpid());
    CHECK_EQ(first[kPage + 5], 'm');
    CHECK_EQ(second[kPage + 5], 'm');
    CHECK_EQ(second[2 * kPage], 0);
    first[0] = (char)('0' + round);
    CHECK_EQ(second[0], '0' + round);
    CHECK_STR(gone, "still here");
    CHECK_EQ(sem_value(semaphores, 0), 1);
    CHECK_EQ(sem_value(semaphores, 1), 0);
    CHECK_EQ(sem_value(semaphores, 2), 12);
    CHECK_EQ(sem_value(semaphores, 3), 20);
  }
  gate_open(&go);
  REAP(child);
  CHECK_EQ(second[4 * kPage], 'c');
  CHECK_EQ(sem_value(semaphores, 0), 3);
  CHECK_EQ(sem_value(semaphores, 2), 7);
  struct sembuf wake = {1, 1, 0};
  SYS(semop(semaphores, &wake, 1));
  gate_wait(&ready);
  wait_state(waiter, waiter, "S");
  guest_fence();
  struct message message = {.type = 9, .text = "nine"};
  SYS(msgsnd(queue, &message, 5, 0));
  REAP(waiter);
  const int order[5] = {1, 3, 0, 2, 4};
  for (int i = 0; i < 5; ++i) {
    char text[64];
    memset(&message, 0, sizeof message);
    CHECK_EQ(SYS(msgrcv(queue, &message, sizeof message.text, i < 2 ? 2 : 0, IPC_NOWAIT)), 10 + order[i]);
    snprintf(text, sizeof text, "message %d", order[i]);
    CHECK_EQ(memcmp(message.text, text, 9), 0);
  }
  SYS(shmdt(second));
  SYS(shmctl(memory, IPC_RMID, NULL));
  SYS(semctl(semaphores, 0, IPC_RMID));
  SYS(msgctl(queue, IPC_RMID, NULL));
  CHECK_ERRNO(shmget(key, 0, 0), ENOENT);
  return guest_pass();
}
