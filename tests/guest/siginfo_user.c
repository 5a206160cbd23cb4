// si_pid, si_uid and si_code in a handler, for signals from parent, child, grandchild and sibling.
#include "guest.h"

static volatile pid_t from;
static volatile int code;
static volatile uid_t uid;
static struct gate hit;

static void handler(int signal, siginfo_t* info, void* context) {
  (void)context;
  from = info->si_pid;
  code = info->si_code;
  uid = info->si_uid;
  gate_send(&hit, signal);
}

int main(void) {
  guest_begin();
  hit = gate_make();
  guest_handle(SIGUSR1, handler, SA_RESTART);
  pid_t self = getpid();
  struct gate told = gate_make();
  for (int depth = 1; depth <= 3; ++depth) {
    pid_t child = guest_fork();
    if (child == 0) {
      for (int i = 1; i < depth; ++i) {
        pid_t next = guest_fork();
        if (next != 0) {
          REAP(next);
          _exit(0);
        }
      }
      gate_send(&told, getpid());
      SYS(kill(self, SIGUSR1));
      _exit(0);
    }
    CHECK_EQ(gate_receive(&hit), SIGUSR1);
    CHECK_EQ(from, gate_receive(&told));
    CHECK_EQ(code, SI_USER);
    CHECK_EQ(uid, getuid());
    REAP(child);
  }
  // A sibling.
  pid_t target = guest_fork();
  if (target == 0) {
    gate_send(&told, 0);
    CHECK_EQ(gate_receive(&hit), SIGUSR1);
    gate_send(&told, from);
    _exit(0);
  }
  CHECK_EQ(gate_receive(&told), 0);
  pid_t sibling = guest_fork();
  if (sibling == 0) {
    SYS(kill(target, SIGUSR1));
    _exit(0);
  }
  CHECK_EQ(gate_receive(&told), sibling);
  REAP(sibling);
  REAP(target);
  return guest_pass();
}
