// exec keeps pid, parent, process group, session, umask, blocked and pending signals, and resets handlers.
#include "guest.h"

static void handler(int signal, siginfo_t* info, void* context) {
  (void)signal;
  (void)info;
  (void)context;
}

int main(int argc, char** argv) {
  guest_begin();
  if (argc == 5) {
    CHECK_EQ(getpid(), atoi(argv[1]));
    CHECK_EQ(raw_gettid(), atoi(argv[1]));
    CHECK_EQ(getppid(), atoi(argv[2]));
    CHECK_EQ(getpgrp(), atoi(argv[3]));
    CHECK_EQ(getsid(0), atoi(argv[4]));
    CHECK_EQ(umask(0), 0137);
    struct sigaction action;
    SYS(sigaction(SIGUSR1, NULL, &action));
    CHECK(action.sa_handler == SIG_DFL);
    SYS(sigaction(SIGUSR2, NULL, &action));
    CHECK(action.sa_handler == SIG_IGN);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    siginfo_t info;
    // Sent before the exec, by this process itself.
    CHECK_EQ(sigwaitinfo(&set, &info), SIGHUP);
    CHECK_EQ(info.si_pid, getpid());
    CHECK_EQ(info.si_code, SI_USER);
    return 33;
  }
  struct gate up = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    SYS(setsid());
    umask(0137);
    guest_handle(SIGUSR1, handler, 0);
    signal(SIGUSR2, SIG_IGN);
    guest_block(SIGHUP);
    SYS(kill(getpid(), SIGHUP));
    char self[16], parent[16], group[16], session[16];
    snprintf(self, sizeof self, "%d", getpid());
    snprintf(parent, sizeof parent, "%d", getppid());
    snprintf(group, sizeof group, "%d", getpgrp());
    snprintf(session, sizeof session, "%d", getsid(0));
    gate_send(&up, getpid());
    execl("/proc/self/exe", argv[0], self, parent, group, session, (char*)NULL);
    FAIL("exec: errno %d", errno);
  }
  CHECK_EQ(gate_receive(&up), child);
  REAP_CODE(child, 33);
  return guest_pass();
}
