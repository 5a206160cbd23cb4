// A child's exit signal: none, SIGUSR1 or SIGCHLD; which waits see it and what the siginfo says.
#include "guest.h"

static volatile sig_atomic_t hits;
static volatile pid_t hit_pid;
static volatile int hit_code, hit_status;

static void handler(int signal, siginfo_t* info, void* context) {
  (void)signal;
  (void)context;
  hit_pid = info->si_pid;
  hit_code = info->si_code;
  hit_status = info->si_status;
  hits = hits + 1;
}

static pid_t child_with(int exit_signal, int code) {
  pid_t child = (pid_t)SYS(syscall(SYS_clone, exit_signal, NULL, NULL, NULL, 0));
  if (child == 0) {
    _exit(code);
  }
  return child;
}

int main(void) {
  guest_begin();
  guest_handle(SIGUSR1, handler, SA_RESTART);
  guest_handle(SIGCHLD, handler, SA_RESTART);

  pid_t child = child_with(0, 1);
  CHECK_EQ(waitpid(child, NULL, __WCLONE), child);
  CHECK_EQ(hits, 0);

  child = child_with(SIGUSR1, 2);
  CHECK_ERRNO(waitpid(child, NULL, 0), ECHILD);
  int status;
  CHECK_EQ(waitpid(-1, &status, __WALL), child);
  CHECK_EQ(WEXITSTATUS(status), 2);
  CHECK_EQ(hits, 1);
  CHECK_EQ(hit_pid, child);
  CHECK_EQ(hit_code, CLD_EXITED);
  CHECK_EQ(hit_status, 2);

  child = child_with(SIGCHLD, 3);
  CHECK_EQ(waitpid(child, NULL, 0), child);
  CHECK_EQ(hits, 2);
  CHECK_EQ(hit_pid, child);
  CHECK_EQ(hit_status, 3);

  // An ordinary wait does not see a clone child, a __WCLONE wait no ordinary one.
  child = child_with(SIGCHLD, 4);
  CHECK_ERRNO(waitpid(child, NULL, __WCLONE), ECHILD);
  CHECK_EQ(waitpid(child, NULL, 0), child);

  // After an exec a clone child is an ordinary one. It may have ended before clone returns here.
  int seen = hits;
  child = (pid_t)SYS(syscall(SYS_clone, 0, NULL, NULL, NULL, 0));
  if (child == 0) {
    execl("/bin/true", "true", (char*)NULL);
    _exit(127);
  }
  CHECK_EQ(waitpid(child, &status, __WALL), child);
  CHECK_EQ(status, 0);
  CHECK_EQ(hits, seen + 1);
  return guest_pass();
}
