// Signals across a freeze: actions with flags and masks, queued ones with all they say and in order, several of one,
// for a thread and for the process, a handler on its alternate stack, a stopped child, pause and sigsuspend.
#include "guest.h"

static volatile sig_atomic_t in_handler, handled;
static char stack[1 << 16];
static int order[8], values[8], count;

static void on_alternate(int signal, siginfo_t* info, void* context) {
  (void)signal, (void)info, (void)context;
  char here;
  CHECK(&here > stack && &here < stack + sizeof stack);
  in_handler = 1;
  guest_fence();
  stack_t now;
  SYS(sigaltstack(NULL, &now));
  CHECK_EQ(now.ss_flags, SS_ONSTACK);
  in_handler = 2;
}

static void on_queued(int signal, siginfo_t* info, void* context) {
  (void)context;
  order[count] = signal - SIGRTMIN;
  values[count++] = info->si_value.sival_int;
  CHECK_EQ(info->si_code, SI_QUEUE);
  CHECK_EQ(info->si_pid, getpid());
}

static void on_simple(int signal) {
  (void)signal;
  ++handled;
}

int main(void) {
  guest_begin();
  stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
  SYS(sigaltstack(&alternate, NULL));
  guest_handle(SIGUSR1, on_alternate, SA_ONSTACK | SA_NODEFER);
  SYS(raise(SIGUSR1));
  CHECK_EQ(in_handler, 2);

  for (int i = 0; i < 3; ++i) {
    guest_handle(SIGRTMIN + i, on_queued, SA_RESTART);
    guest_block(SIGRTMIN + i);
  }
  guest_block(SIGUSR2);
  union sigval value;
  for (int i = 0; i < 6; ++i) {
    value.sival_int = i * 11;
    SYS(sigqueue(getpid(), SIGRTMIN + 2 - i % 3, value));
  }
  signal(SIGUSR2, on_simple);
  PTHREAD(pthread_kill(pthread_self(), SIGUSR2));
  SYS(kill(getpid(), SIGUSR2));
  struct sigaction action = {.sa_handler = on_simple, .sa_flags = SA_RESETHAND | SA_NOCLDSTOP};
  sigaddset(&action.sa_mask, SIGHUP);
  SYS(sigaction(SIGCHLD, &action, NULL));
  signal(SIGPIPE, SIG_IGN);
  pid_t child = guest_fork();
  if (child == 0) {
    signal(SIGUSR2, SIG_DFL);
    for (;;) {
      pause();
    }
  }
  SYS(kill(child, SIGSTOP));
  int status;
  CHECK_EQ(SYS(waitpid(child, &status, WUNTRACED)), child);
  CHECK(WIFSTOPPED(status));
  guest_fence();
  CHECK_EQ(task_state(child, child), 'T');
  CHECK_EQ(waitpid(child, &status, WNOHANG | WUNTRACED), 0);
  SYS(kill(child, SIGCONT));
  CHECK_EQ(SYS(waitpid(child, &status, WCONTINUED)), child);
  CHECK(WIFCONTINUED(status));
  struct sigaction now;
  SYS(sigaction(SIGCHLD, NULL, &now));
  CHECK(now.sa_handler == on_simple && now.sa_flags == (int)(action.sa_flags | (now.sa_flags & 0x04000000)));
  CHECK_EQ(sigismember(&now.sa_mask, SIGHUP), 1);
  SYS(sigaction(SIGPIPE, NULL, &now));
  CHECK(now.sa_handler == SIG_IGN);
  signal(SIGCHLD, SIG_DFL);
  SYS(kill(child, SIGTERM));
  guest_fence();
  REAP_SIGNAL(child, SIGTERM);
  sigset_t pending;
  SYS(sigpending(&pending));
  CHECK_EQ(sigismember(&pending, SIGUSR2), 1);
  guest_unblock(SIGUSR2);
  CHECK_EQ(handled, 2);
  sigset_t all;
  sigemptyset(&all);
  for (int i = 0; i < 3; ++i) {
    sigaddset(&all, SIGRTMIN + i);
  }
  PTHREAD(pthread_sigmask(SIG_UNBLOCK, &all, NULL));
  CHECK_EQ(count, 6);
  // The lowest first, each in the order of its sending; handlers that nest run in the opposite order.
  int seen[3] = {0};
  for (int i = 0; i < 6; ++i) {
    ++seen[order[i]];
    CHECK_EQ(values[i] % 11, 0);
    CHECK_EQ(2 - values[i] / 11 % 3, order[i]);
  }
  CHECK(seen[0] == 2 && seen[1] == 2 && seen[2] == 2);
  return guest_pass();
}
