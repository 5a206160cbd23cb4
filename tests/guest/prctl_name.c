// PR_SET_NAME, PR_GET_NAME, comm in /proc by process and by thread, and pthread_setname_np of another thread.
#include "guest.h"

static struct gate up, done;

static void* run(void* unused) {
  SYS(prctl(PR_SET_NAME, "worker"));
  gate_send(&up, raw_gettid());
  gate_wait(&done);
  char name[16];
  SYS(prctl(PR_GET_NAME, name));
  CHECK_STR(name, "renamed");
  return unused;
}

static void expect(const char* path, const char* comm) {
  char text[64], line[64];
  CHECK(read_file(path, text, sizeof text) > 0);
  snprintf(line, sizeof line, "%s\n", comm);
  CHECK_STR(text, line);
}

int main(void) {
  guest_begin();
  up = gate_make();
  done = gate_make();
  SYS(prctl(PR_SET_NAME, "a name) that lies"));
  expect("/proc/self/comm", "a name) that li");
  struct proc_stat stat;
  CHECK(read_stat("/proc/self/stat", &stat));
  CHECK_STR(stat.comm, "a name) that li");
  CHECK_EQ(stat.pid, getpid());
  CHECK_EQ(stat.ppid, getppid());
  pthread_t thread = guest_thread(run, NULL);
  pid_t tid = (pid_t)gate_receive(&up);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/task/%d/comm", tid);
  expect(path, "worker");
  snprintf(path, sizeof path, "/proc/%d/comm", tid);
  expect(path, "worker");
  expect("/proc/self/comm", "a name) that li");
  // By the other thread's comm file.
  PTHREAD(pthread_setname_np(thread, "renamed"));
  char name[16] = "";
  PTHREAD(pthread_getname_np(thread, name, sizeof name));
  CHECK_STR(name, "renamed");
  gate_open(&done);
  guest_join(thread);
  return guest_pass();
}
