// sigsuspend, ppoll, pselect and epoll_pwait: the mask changes with the call, the handler sees the sender, EINTR
// follows.
#include <sys/epoll.h>
#include <sys/select.h>

#include "guest.h"

static volatile pid_t from;

static void handler(int signal, siginfo_t* info, void* context) {
  (void)signal;
  (void)context;
  from = info->si_pid;
}

int main(void) {
  guest_begin();
  guest_block(SIGUSR1);
  guest_handle(SIGUSR1, handler, SA_RESTART);
  sigset_t open;
  sigemptyset(&open);
  pid_t self = getpid();
  int epoll = SYS(epoll_create1(0));
  for (int i = 0; i < 40; ++i) {
    from = 0;
    pid_t child = guest_fork();
    if (child == 0) {
      if (i % 2) {
        wait_state(self, self, "S");
      }
      SYS(kill(self, SIGUSR1));
      _exit(0);
    }
    struct epoll_event event;
    switch (i % 4) {
      case 0:
        CHECK_ERRNO(sigsuspend(&open), EINTR);
        break;
      case 1:
        CHECK_ERRNO(ppoll(NULL, 0, NULL, &open), EINTR);
        break;
      case 2:
        CHECK_ERRNO(pselect(0, NULL, NULL, NULL, NULL, &open), EINTR);
        break;
      default:
        CHECK_ERRNO(epoll_pwait(epoll, &event, 1, -1, &open), EINTR);
        break;
    }
    CHECK_EQ(from, child);
    REAP(child);
  }
  return guest_pass();
}
