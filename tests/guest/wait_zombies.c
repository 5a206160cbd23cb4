// Three hundred zombies at once: every one shows as Z in /proc, takes signals, and gives its status once.
#include "guest.h"

enum { kChildren = 300 };

int main(void) {
  guest_begin();
  static pid_t children[kChildren];
  for (int i = 0; i < kChildren; ++i) {
    children[i] = guest_fork();
    if (children[i] == 0) {
      _exit(i % 256);
    }
  }
  for (int i = 0; i < kChildren; ++i) {
    siginfo_t info;
    SYS(waitid(P_PID, (id_t)children[i], &info, WEXITED | WNOWAIT));
  }
  for (int i = 0; i < kChildren; i += 37) {
    CHECK_EQ(task_state(children[i], children[i]), 'Z');
    SYS(kill(children[i], SIGKILL));
    char path[64], text[64];
    snprintf(path, sizeof path, "/proc/%d/status", children[i]);
    CHECK_EQ(status_field(path, "PPid"), getpid());
    snprintf(path, sizeof path, "/proc/%d/cmdline", children[i]);
    CHECK_EQ(read_file(path, text, sizeof text), 0);
  }
  for (int i = kChildren - 1; i >= 0; --i) {
    REAP_CODE(children[i], i % 256);
  }
  CHECK_ERRNO(waitpid(-1, NULL, 0), ECHILD);
  return guest_pass();
}
