// A lease's break signal and F_GETLEASE; /proc/locks names holders by virtual pid only.
#include <sys/file.h>

#include "guest.h"

static struct gate hit;

static void handler(int signal, siginfo_t* info, void* context) {
  (void)info;
  (void)context;
  gate_send(&hit, signal);
}

int main(void) {
  guest_begin();
  hit = gate_make();
  int fd = SYS(open("file", O_RDONLY | O_CREAT | O_CLOEXEC, 0600));
  if (fcntl(fd, F_SETLEASE, F_RDLCK) != 0) {
    FAIL("F_SETLEASE: errno %d: this guest needs a file system with leases for its working directory", errno);
  }
  CHECK_EQ(fcntl(fd, F_GETLEASE), F_RDLCK);
  guest_handle(SIGIO, handler, SA_RESTART);
  pid_t child = guest_fork();
  if (child == 0) {
    close(fd);
    // Blocks until the lease is given up.
    SYS(open("file", O_WRONLY | O_CLOEXEC));
    _exit(0);
  }
  CHECK_EQ(gate_receive(&hit), SIGIO);
  SYS(fcntl(fd, F_SETLEASE, F_UNLCK));
  REAP(child);

  // The listing of all locks.
  int locked = SYS(open("locked", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 12345, .l_len = 54321};
  SYS(fcntl(locked, F_SETLK, &lock));
  FILE* file = fopen("/proc/locks", "re");
  CHECK(file);
  char line[256];
  bool found = false;
  while (fgets(line, sizeof line, file)) {
    char kind[16], mode[16], type[16], where[64], last[32];
    int pid;
    long start;
    if (sscanf(line, "%*d: %15s %15s %15s %d %63s %ld %31s", kind, mode, type, &pid, where, &start, last) != 7) {
      continue;
    }
    if (start == 12345 && strcmp(last, "66665") == 0) {
      // Several such guests may run natively at once.
      found |= pid == getpid();
    }
    if (under_beam()) {
      CHECK(pid == -1 || kill(pid, 0) == 0);
    }
  }
  fclose(file);
  CHECK(found);
  return guest_pass();
}
