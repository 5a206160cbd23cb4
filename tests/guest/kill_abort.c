// abort, raise and friends end a child with the right signal; and with a core flag only where one was made.
#include <sys/resource.h>

#include "guest.h"

int main(void) {
  guest_begin();
  struct rlimit none = {0, 0};
  SYS(setrlimit(RLIMIT_CORE, &none));
  pid_t child = guest_fork();
  if (child == 0) {
    abort();
  }
  REAP_SIGNAL(child, SIGABRT);
  child = guest_fork();
  if (child == 0) {
    signal(SIGABRT, SIG_IGN);
    abort();
  }
  REAP_SIGNAL(child, SIGABRT);
  const int deadly[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGILL, SIGTRAP, SIGBUS,  SIGFPE,   SIGSEGV,  SIGPIPE,
                        SIGTERM, SIGUSR1, SIGXCPU, SIGSYS, SIGIO,   SIGPROF, SIGRTMIN, SIGRTMAX, SIGKILL};
  for (unsigned i = 0; i < sizeof deadly / sizeof deadly[0]; ++i) {
    child = guest_fork();
    if (child == 0) {
      signal(deadly[i], SIG_DFL);
      raise(deadly[i]);
      _exit(0);
    }
    REAP_SIGNAL(child, deadly[i]);
    child = guest_fork();
    if (child == 0) {
      signal(deadly[i], SIG_DFL);
      kill(getpid(), deadly[i]);
      _exit(0);
    }
    REAP_SIGNAL(child, deadly[i]);
  }
  // By a fault.
  child = guest_fork();
  if (child == 0) {
    *(volatile int*)8 = 1;
  }
  REAP_SIGNAL(child, SIGSEGV);
  child = guest_fork();
  if (child == 0) {
    __asm__ volatile("int3");
  }
  REAP_SIGNAL(child, SIGTRAP);
  // These are ignored by default.
  const int harmless[] = {SIGCHLD, SIGURG, SIGWINCH, SIGCONT};
  for (unsigned i = 0; i < 4; ++i) {
    child = guest_fork();
    if (child == 0) {
      raise(harmless[i]);
      kill(getpid(), harmless[i]);
      _exit(0);
    }
    REAP(child);
  }
  return guest_pass();
}
