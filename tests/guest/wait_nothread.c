// __WNOTHREAD: a thread sees only the children that it made itself; without it those of all threads.
#include "guest.h"

static struct gate up, down;

static void* other(void* unused) {
  pid_t child = guest_fork();
  if (child == 0) {
    gate_wait(&down);
    _exit(6);
  }
  gate_send(&up, child);
  gate_wait(&down);
  int status;
  CHECK_EQ(waitpid(-1, &status, __WNOTHREAD), child);
  CHECK_EQ(status, 6 << 8);
  return unused;
}

int main(void) {
  guest_begin();
  up = gate_make();
  down = gate_make();
  pthread_t thread = guest_thread(other, NULL);
  pid_t theirs = (pid_t)gate_receive(&up);
  CHECK_ERRNO(waitpid(-1, NULL, __WNOTHREAD), ECHILD);
  CHECK_ERRNO(waitpid(theirs, NULL, __WNOTHREAD), ECHILD);
  CHECK_EQ(waitpid(theirs, NULL, WNOHANG), 0);
  pid_t mine = guest_fork();
  if (mine == 0) {
    _exit(7);
  }
  int status;
  CHECK_EQ(waitpid(-1, &status, __WNOTHREAD), mine);
  CHECK_EQ(status, 7 << 8);
  gate_open(&down);
  gate_open(&down);
  guest_join(thread);
  CHECK_ERRNO(waitpid(-1, NULL, 0), ECHILD);
  return guest_pass();
}
