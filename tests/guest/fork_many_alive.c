// Two hundred children alive at once: all numbers differ, each can be signalled, each shows in /proc, each is reaped
// once.
#include "guest.h"

enum { kChildren = 200 };

int main(void) {
  guest_begin();
  pid_t children[kChildren];
  struct gate up = gate_make(), down = gate_make();
  for (int i = 0; i < kChildren; ++i) {
    children[i] = guest_fork();
    if (children[i] == 0) {
      gate_open(&up);
      gate_wait(&down);
      _exit(i);
    }
  }
  for (int i = 0; i < kChildren; ++i) {
    gate_wait(&up);
  }
  for (int i = 0; i < kChildren; ++i) {
    for (int j = 0; j < i; ++j) {
      CHECK_NE(children[i], children[j]);
    }
    SYS(kill(children[i], 0));
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", children[i]);
    CHECK_EQ(status_field(path, "PPid"), getpid());
  }
  for (int i = 0; i < kChildren; ++i) {
    gate_open(&down);
  }
  bool reaped[kChildren] = {false};
  for (int i = 0; i < kChildren; ++i) {
    int status;
    pid_t child = SYS(wait(&status));
    CHECK(WIFEXITED(status));
    int index = WEXITSTATUS(status);
    CHECK_EQ(children[index], child);
    CHECK(!reaped[index]);
    reaped[index] = true;
  }
  CHECK_ERRNO(wait(NULL), ECHILD);
  return guest_pass();
}
