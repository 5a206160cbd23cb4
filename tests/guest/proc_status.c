// /proc/N/status: Tgid, Ngid, Pid, PPid, TracerPid, NSpid and its like, Threads, of processes and threads.
#include "guest.h"

static struct gate up, down;

static void* run(void* unused) {
  gate_send(&up, raw_gettid());
  gate_wait(&down);
  return unused;
}

// "KEY:\tN\n" with one number only.
static void expect_one(const char* text, const char* key, long value) {
  char line[64];
  snprintf(line, sizeof line, "\n%s:\t%ld\n", key, value);
  if (!strstr(text, line)) {
    FAIL("status has not \"%s\t%ld\": %s", key, value, text);
  }
}

int main(void) {
  guest_begin();
  up = gate_make();
  down = gate_make();
  pthread_t thread = guest_thread(run, NULL);
  pid_t tid = (pid_t)gate_receive(&up);
  char path[64], text[8192];
  for (int way = 0; way < 3; ++way) {
    snprintf(path, sizeof path,
             way == 0   ? "/proc/%d/status"
             : way == 1 ? "/proc/self/task/%d/status"
                        : "/proc/%d/status",
             way == 0 ? getpid() : tid);
    CHECK(read_file(path, text, sizeof text) > 0);
    expect_one(text, "Tgid", getpid());
    expect_one(text, "Pid", way == 0 ? getpid() : tid);
    expect_one(text, "PPid", getppid());
    expect_one(text, "Threads", 2);
    if (under_beam()) {
      expect_one(text, "TracerPid", 0);
      expect_one(text, "NStgid", getpid());
      expect_one(text, "NSpid", way == 0 ? getpid() : tid);
      expect_one(text, "NSpgid", getpgrp());
      expect_one(text, "NSsid", getsid(0));
    }
    CHECK(strncmp(text, "Name:\t", 6) == 0);
    CHECK(strstr(text, "\nState:\t"));
    CHECK(strstr(text, "\nVmRSS:\t"));
    CHECK(strstr(text, "\nSigCgt:\t"));
    CHECK(strstr(text, "\nCpus_allowed:\t"));
  }
  pid_t child = guest_fork();
  if (child == 0) {
    CHECK(read_file("/proc/self/status", text, sizeof text) > 0);
    expect_one(text, "Pid", getpid());
    expect_one(text, "PPid", guest_top);
    expect_one(text, "Threads", 1);
    _exit(0);
  }
  REAP(child);
  CHECK(read_file("/proc/1/status", text, sizeof text) > 0);
  expect_one(text, "Pid", 1);
  if (under_beam()) {
    expect_one(text, "PPid", 0);
    expect_one(text, "TracerPid", 0);
  }
  gate_open(&down);
  guest_join(thread);
  return guest_pass();
}
