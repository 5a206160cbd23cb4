// Orphaned process groups: terminal stop signals do nothing to them, SIGSTOP does; and a group that becomes orphaned
// with a stopped member gets SIGHUP and SIGCONT.
#include "guest.h"

static struct gate up;

static void handler(int signal, siginfo_t* info, void* context) {
  (void)info;
  (void)context;
  gate_send(&up, signal);
}

int main(void) {
  guest_begin();
  SYS(prctl(PR_SET_CHILD_SUBREAPER, 1));
  up = gate_make();
  // A session of its own is an orphaned group: its parent is in another session.
  pid_t child = guest_fork();
  if (child == 0) {
    SYS(setsid());
    guest_handle(SIGUSR1, handler, 0);
    gate_send(&up, 0);
    for (;;) {
      pause();
    }
  }
  CHECK_EQ(gate_receive(&up), 0);
  SYS(kill(child, SIGTSTP));
  SYS(kill(child, SIGTTIN));
  SYS(kill(child, SIGTTOU));
  SYS(kill(child, SIGUSR1));
  // It was not stopped, or it could not have answered.
  CHECK_EQ(gate_receive(&up), SIGUSR1);
  int status;
  CHECK_EQ(waitpid(child, &status, WUNTRACED | WNOHANG), 0);
  SYS(kill(child, SIGSTOP));
  CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
  SYS(kill(child, SIGKILL));
  REAP_SIGNAL(child, SIGKILL);

  // session leader -> parent -> member in its own group, stopped; then the parent exits.
  child = guest_fork();
  if (child == 0) {
    SYS(setsid());
    pid_t parent = guest_fork();
    if (parent == 0) {
      struct gate ready = gate_make();
      pid_t member = guest_fork();
      if (member == 0) {
        SYS(setpgid(0, 0));
        guest_handle(SIGHUP, handler, 0);
        guest_handle(SIGCONT, handler, 0);
        gate_open(&ready);
        for (;;) {
          pause();
        }
      }
      gate_wait(&ready);
      SYS(kill(member, SIGSTOP));
      int got;
      CHECK_EQ(waitpid(member, &got, WUNTRACED), member);
      gate_send(&up, member);
      _exit(0);
    }
    REAP(parent);
    pause();
  }
  pid_t member = (pid_t)gate_receive(&up);
  long first = gate_receive(&up), second = gate_receive(&up);
  CHECK_EQ(first + second, SIGHUP + SIGCONT);
  SYS(kill(child, SIGKILL));
  REAP_SIGNAL(child, SIGKILL);
  SYS(kill(member, SIGKILL));
  REAP_SIGNAL(member, SIGKILL);
  return guest_pass();
}
