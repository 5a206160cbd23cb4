// /proc/N/task/T/children: by thread, exactly the living and zombie children, in virtual numbers.
#include "guest.h"

static struct gate up, down;

static void* run(void* unused) {
  pid_t child = guest_fork();
  if (child == 0) {
    gate_wait(&down);
    _exit(0);
  }
  gate_send(&up, child);
  gate_send(&up, raw_gettid());
  gate_wait(&down);
  return unused;
}

int main(void) {
  guest_begin();
  up = gate_make();
  down = gate_make();
  char path[64], text[4096], expected[256] = "";
  snprintf(path, sizeof path, "/proc/self/task/%d/children", getpid());
  if (read_file(path, text, sizeof text) < 0) {
    FAIL("%s: errno %d: this guest needs a kernel with CONFIG_PROC_CHILDREN", path, errno);
  }
  CHECK_STR(text, "");
  pid_t children[4];
  for (int i = 0; i < 4; ++i) {
    children[i] = guest_fork();
    if (children[i] == 0) {
      if (i != 2) {
        gate_wait(&down);
      }
      _exit(0);
    }
    snprintf(expected + strlen(expected), 32, "%d ", children[i]);
  }
  siginfo_t info;
  SYS(waitid(P_PID, (id_t)children[2], &info, WEXITED | WNOWAIT));
  CHECK(read_file(path, text, sizeof text) > 0);
  CHECK_STR(text, expected);
  // A thread's children are listed with the thread.
  pthread_t thread = guest_thread(run, NULL);
  pid_t child = (pid_t)gate_receive(&up), tid = (pid_t)gate_receive(&up);
  snprintf(path, sizeof path, "/proc/self/task/%d/children", tid);
  CHECK(read_file(path, text, sizeof text) > 0);
  snprintf(expected, sizeof expected, "%d ", child);
  CHECK_STR(text, expected);
  for (int i = 0; i < 5; ++i) {
    gate_open(&down);
  }
  guest_join(thread);
  for (int i = 0; i < 5; ++i) {
    SYS(wait(NULL));
  }
  snprintf(path, sizeof path, "/proc/self/task/%d/children", getpid());
  CHECK_EQ(read_file(path, text, sizeof text), 0);
  return guest_pass();
}
