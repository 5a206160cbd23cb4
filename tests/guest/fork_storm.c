// Thousands of forks by four processes at once; every number is right on both sides and no status is lost.
#include "guest.h"

enum { kWorkers = 4, kForks = 500 };

int main(void) {
  guest_begin();
  pid_t workers[kWorkers];
  for (int w = 0; w < kWorkers; ++w) {
    workers[w] = guest_fork();
    if (workers[w] == 0) {
      int fd[2];
      SYS(pipe(fd));
      for (int i = 0; i < kForks; ++i) {
        pid_t child = guest_fork();
        if (child == 0) {
          pid_t self = raw_getpid();
          if (write(fd[1], &self, sizeof self) != sizeof self) {
            _exit(255);
          }
          _exit(i % 250);
        }
        REAP_CODE(child, i % 250);
        pid_t told;
        CHECK_EQ(read(fd[0], &told, sizeof told), sizeof told);
        CHECK_EQ(told, child);
      }
      _exit(0);
    }
  }
  for (int w = 0; w < kWorkers; ++w) {
    REAP(workers[w]);
  }
  CHECK_ERRNO(waitpid(-1, NULL, 0), ECHILD);
  return guest_pass();
}
