// tkill and tgkill reach the one thread that they name, with SI_TKILL and the sender's pid; also across processes.
#include "guest.h"

enum { kThreads = 4 };
static struct gate up, report, done;

static void handler(int signal, siginfo_t* info, void* context) {
  (void)signal;
  (void)context;
  CHECK_EQ(info->si_code, SI_TKILL);
  CHECK_EQ(info->si_uid, getuid());
  gate_send(&report, info->si_pid * 100000l + raw_gettid());
}

static void* run(void* unused) {
  gate_send(&up, raw_gettid());
  gate_wait(&done);
  return unused;
}

int main(void) {
  guest_begin();
  up = gate_make();
  report = gate_make();
  done = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    guest_handle(SIGUSR1, handler, SA_RESTART);
    pthread_t threads[kThreads];
    for (int i = 0; i < kThreads; ++i) {
      threads[i] = guest_thread(run, NULL);
    }
    for (int i = 0; i < kThreads; ++i) {
      guest_join(threads[i]);
    }
    _exit(0);
  }
  pid_t tids[kThreads];
  for (int i = 0; i < kThreads; ++i) {
    tids[i] = (pid_t)gate_receive(&up);
  }
  for (int round = 0; round < 50; ++round) {
    pid_t tid = round % (kThreads + 1) == kThreads ? child : tids[round % (kThreads + 1)];
    if (round % 2) {
      SYS(syscall(SYS_tgkill, child, tid, SIGUSR1));
    } else {
      SYS(syscall(SYS_tkill, tid, SIGUSR1));
    }
    CHECK_EQ(gate_receive(&report), getpid() * 100000l + tid);
  }
  for (int i = 0; i < kThreads; ++i) {
    gate_open(&done);
  }
  REAP(child);
  return guest_pass();
}
