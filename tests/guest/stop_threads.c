// A group stop stops every thread, blocked, running and in interposed calls; SIGCONT lets all go on where they were.
#include "guest.h"

enum { kThreads = 6 };
static struct gate up, done;
static volatile int finish;

static void* run(void* argument) {
  gate_send(&up, raw_gettid());
  long kind = (intptr_t)argument % 3;
  if (kind == 0) {
    gate_wait(&done);
  } else {
    while (!finish) {
      if (kind == 1) {
        getppid();
      }
    }
  }
  return NULL;
}

static void* finisher(void* unused) {
  gate_wait(&done);
  finish = 1;
  return unused;
}

int main(void) {
  guest_begin();
  up = gate_make();
  done = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    pthread_t threads[kThreads];
    for (intptr_t i = 0; i < kThreads; ++i) {
      threads[i] = guest_thread(run, (void*)i);
    }
    pthread_t last = guest_thread(finisher, NULL);
    guest_join(last);
    for (int i = 0; i < kThreads; ++i) {
      guest_join(threads[i]);
    }
    _exit(14);
  }
  pid_t tids[kThreads];
  for (int i = 0; i < kThreads; ++i) {
    tids[i] = (pid_t)gate_receive(&up);
  }
  for (int round = 0; round < 10; ++round) {
    int status;
    SYS(kill(child, SIGSTOP));
    CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
    CHECK_EQ(WSTOPSIG(status), SIGSTOP);
    for (int i = 0; i < kThreads; ++i) {
      CHECK_EQ(task_state(child, tids[i]), 'T');
    }
    CHECK_EQ(task_state(child, child), 'T');
    SYS(kill(child, SIGCONT));
    CHECK_EQ(waitpid(child, &status, WCONTINUED), child);
    for (int i = 0; i < kThreads; ++i) {
      wait_state(child, tids[i], "SR");
    }
  }
  for (int i = 0; i < 3; ++i) {
    gate_open(&done);
  }
  REAP_CODE(child, 14);
  return guest_pass();
}
