// The parent of a process with a zombie leader: no wait reports it before its last thread has ended, then with the
// status of the group.
#include "guest.h"

static struct gate ready, done;
static bool by_exit;

static void* survivor(void* unused) {
  wait_state(raw_getpid(), raw_getpid(), "Z");
  gate_send(&ready, raw_gettid());
  gate_wait(&done);
  if (by_exit) {
    exit(23);
  }
  return unused;
}

int main(void) {
  guest_begin();
  for (int round = 0; round < 2; ++round) {
    ready = gate_make();
    done = gate_make();
    by_exit = round == 0;
    pid_t child = guest_fork();
    if (child == 0) {
      guest_thread(survivor, NULL);
      pthread_exit(NULL);
    }
    pid_t tid = (pid_t)gate_receive(&ready);
    CHECK_NE(tid, child);
    CHECK_EQ(task_state(child, child), 'Z');
    CHECK(strchr("SR", task_state(child, tid)));
    int status;
    CHECK_EQ(waitpid(child, &status, WNOHANG), 0);
    siginfo_t info = {0};
    CHECK_EQ(waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT), 0);
    CHECK_EQ(info.si_pid, 0);
    SYS(kill(child, 0));
    gate_open(&done);
    // The last thread ends the process with 0; exit of any thread with its own status.
    REAP_CODE(child, by_exit ? 23 : 0);
    CHECK_ERRNO(kill(child, 0), ESRCH);
    gate_close(&ready);
    gate_close(&done);
  }
  return guest_pass();
}
