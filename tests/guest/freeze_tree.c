// The process tree across a freeze: ids, parents, sessions, groups (also of dead leaders), zombies with their status,
// orphans and who reaps them, exit signals, a parent's death signal, a leader that has exited before its threads.
#include "guest.h"

static volatile sig_atomic_t ended, told;
static void on_exit_signal(int signal) {
  (void)signal;
  ++ended;
}
static void on_parent_death(int signal) {
  (void)signal;
  ++told;
}

static struct gate gates[8];

static void* outlive(void* argument) {
  (void)argument;
  gate_wait(&gates[0]);
  CHECK_EQ(raw_getpid(), (pid_t)gate_receive(&gates[1]));
  _exit(21);
}

int main(void) {
  guest_begin();
  for (int i = 0; i < 8; ++i) {
    gates[i] = gate_make();
  }
  SYS(prctl(PR_SET_CHILD_SUBREAPER, 1));
  pid_t self = getpid();
  // Zombies: by exit, by signal.
  pid_t exited = guest_fork();
  if (exited == 0) {
    _exit(42);
  }
  pid_t killed = guest_fork();
  if (killed == 0) {
    raise(SIGKILL);
  }
  wait_state(exited, exited, "Z");
  wait_state(killed, killed, "Z");
  // A session with a child in a group of its own.
  pid_t leader = guest_fork();
  if (leader == 0) {
    SYS(setsid());
    pid_t member = guest_fork();
    if (member == 0) {
      SYS(setpgid(0, 0));
      gate_send(&gates[2], getpid());
      gate_wait(&gates[3]);
      CHECK_EQ(getsid(0), getppid());
      CHECK_EQ(getpgrp(), getpid());
      _exit(7);
    }
    gate_wait(&gates[4]);
    CHECK_EQ(getsid(0), getpid());
    REAP_CODE(member, 7);
    _exit(8);
  }
  pid_t member = (pid_t)gate_receive(&gates[2]);
  // An orphan of a group whose leader is dead.
  pid_t middle = guest_fork();
  if (middle == 0) {
    SYS(setpgid(0, 0));
    pid_t orphan = guest_fork();
    if (orphan == 0) {
      signal(SIGUSR1, on_parent_death);
      gate_send(&gates[5], getpid());
      gate_wait(&gates[6]);
      CHECK_NE(getpgrp(), getpid());
      _exit(9);
    }
    _exit(0);
  }
  pid_t orphan = (pid_t)gate_receive(&gates[5]);
  REAP(middle);
  // Another signal at its end, and its threads live on without it.
  signal(SIGUSR2, on_exit_signal);
  pid_t quiet = SYS((pid_t)syscall(SYS_clone, SIGUSR2, NULL, NULL, NULL, NULL));
  if (quiet == 0) {
    alarm(kGuestDeadline);
    guest_thread(outlive, NULL);
    syscall(SYS_exit, 0);
  }
  wait_state(quiet, quiet, "Z");
  guest_fence();
  CHECK_EQ(getpid(), self);
  CHECK_EQ(getpgid(orphan), middle);
  CHECK_EQ(getsid(leader), leader);
  CHECK_EQ(getpgid(member), member);
  CHECK_EQ(getsid(member), leader);
  REAP_CODE(exited, 42);
  REAP_SIGNAL(killed, SIGKILL);
  guest_fence();
  gate_open(&gates[6]);
  REAP_CODE(orphan, 9);
  gate_open(&gates[3]);
  gate_open(&gates[4]);
  REAP_CODE(leader, 8);
  CHECK_EQ(ended, 0);
  gate_open(&gates[0]);
  gate_send(&gates[1], quiet);
  guest_fence();
  REAP_CODE(quiet, 21);
  CHECK_EQ(ended, 1);
  return guest_pass();
}
