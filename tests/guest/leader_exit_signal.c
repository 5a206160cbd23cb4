// A process with a zombie leader: stops and continues as a group, and a SIGKILL from outside ends all of it.
#include "guest.h"

static struct gate ready;

static void* survivor(void* unused) {
  wait_state(raw_getpid(), raw_getpid(), "Z");
  gate_send(&ready, raw_gettid());
  for (;;) {
    pause();
  }
  return unused;
}

int main(void) {
  guest_begin();
  ready = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    for (int i = 0; i < 3; ++i) {
      guest_thread(survivor, NULL);
    }
    pthread_exit(NULL);
  }
  for (int i = 0; i < 3; ++i) {
    gate_receive(&ready);
  }
  int status;
  SYS(kill(child, SIGSTOP));
  CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
  CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
  SYS(kill(child, SIGCONT));
  CHECK_EQ(waitpid(child, &status, WCONTINUED), child);
  CHECK(WIFCONTINUED(status));
  SYS(kill(child, SIGKILL));
  REAP_SIGNAL(child, SIGKILL);
  return guest_pass();
}
