// SysV shared memory: shm_cpid, shm_lpid, and the pids in /proc/sysvipc/shm.
#include <sys/ipc.h>
#include <sys/shm.h>

#include "guest.h"

int main(void) {
  guest_begin();
  int id = SYS(shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600));
  struct shmid_ds status;
  SYS(shmctl(id, IPC_STAT, &status));
  CHECK_EQ(status.shm_cpid, getpid());
  CHECK_EQ(status.shm_lpid, 0);
  CHECK_EQ(status.shm_nattch, 0);
  pid_t child = guest_fork();
  if (child == 0) {
    volatile int* memory = SYS(shmat(id, NULL, 0));
    *memory = getpid();
    _exit(0);
  }
  REAP(child);
  SYS(shmctl(id, IPC_STAT, &status));
  CHECK_EQ(status.shm_cpid, getpid());
  CHECK_EQ(status.shm_lpid, child);
  volatile int* memory = SYS(shmat(id, NULL, 0));
  CHECK_EQ(*memory, child);
  SYS(shmctl(id, IPC_STAT, &status));
  CHECK_EQ(status.shm_lpid, getpid());
  CHECK_EQ(status.shm_nattch, 1);

  FILE* file = fopen("/proc/sysvipc/shm", "re");
  CHECK(file);
  char line[512];
  bool found = false;
  while (fgets(line, sizeof line, file)) {
    long key, shmid, size;
    int mode, creator, last;
    if (sscanf(line, "%ld %ld %o %ld %d %d", &key, &shmid, (unsigned*)&mode, &size, &creator, &last) == 6 &&
        shmid == id) {
      CHECK_EQ(creator, getpid());
      CHECK_EQ(last, getpid());
      found = true;
    }
  }
  fclose(file);
  CHECK(found);
  SYS(shmdt((void*)memory));
  SYS(shmctl(id, IPC_RMID, NULL));
  return guest_pass();
}
