// The parent's SIGCHLD for stops and continues: codes and pid; with SA_NOCLDSTOP none of them but the end.
#include "guest.h"

static void expect(const sigset_t* set, pid_t child, int code, int status) {
  siginfo_t info;
  CHECK_EQ(SYS(sigwaitinfo(set, &info)), SIGCHLD);
  CHECK_EQ(info.si_pid, child);
  CHECK_EQ(info.si_uid, getuid());
  CHECK_EQ(info.si_code, code);
  CHECK_EQ(info.si_status, status);
}

static void handler(int signal, siginfo_t* info, void* context) {
  (void)signal;
  (void)info;
  (void)context;
}

int main(void) {
  guest_begin();
  guest_block(SIGCHLD);
  guest_handle(SIGCHLD, handler, 0);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  pid_t child = guest_fork();
  if (child == 0) {
    for (;;) {
      pause();
    }
  }
  SYS(kill(child, SIGSTOP));
  expect(&set, child, CLD_STOPPED, SIGSTOP);
  SYS(kill(child, SIGCONT));
  expect(&set, child, CLD_CONTINUED, SIGCONT);

  guest_handle(SIGCHLD, handler, SA_NOCLDSTOP);
  int status;
  SYS(kill(child, SIGSTOP));
  CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
  SYS(kill(child, SIGCONT));
  CHECK_EQ(waitpid(child, &status, WCONTINUED), child);
  sigset_t pending;
  SYS(sigpending(&pending));
  CHECK(!sigismember(&pending, SIGCHLD));

  SYS(kill(child, SIGKILL));
  expect(&set, child, CLD_KILLED, SIGKILL);
  REAP_SIGNAL(child, SIGKILL);
  return guest_pass();
}
