// /proc/N/task: the listing is exactly the threads; their files are there; a thread of another process is not.
#include <dirent.h>

#include "guest.h"

enum { kThreads = 5 };
static struct gate up, down;

static void* run(void* unused) {
  gate_send(&up, raw_gettid());
  gate_wait(&down);
  return unused;
}

static int compare(const void* left, const void* right) {
  return *(const int*)left - *(const int*)right;
}

static void expect(const char* path, const int* sorted, int count) {
  DIR* directory = opendir(path);
  CHECK(directory);
  int seen = 0;
  for (struct dirent* entry; (entry = readdir(directory));) {
    if (entry->d_name[0] == '.') {
      continue;
    }
    int tid = atoi(entry->d_name);
    if (!bsearch(&tid, sorted, (size_t)count, sizeof *sorted, compare)) {
      FAIL("%s lists %s", path, entry->d_name);
    }
    ++seen;
  }
  closedir(directory);
  CHECK_EQ(seen, count);
}

int main(void) {
  guest_begin();
  up = gate_make();
  down = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    for (int i = 0; i < kThreads; ++i) {
      guest_thread(run, NULL);
    }
    gate_wait(&down);
    _exit(0);
  }
  int tids[kThreads + 1] = {child};
  for (int i = 1; i <= kThreads; ++i) {
    tids[i] = (int)gate_receive(&up);
  }
  qsort(tids, kThreads + 1, sizeof tids[0], compare);
  char path[128];
  snprintf(path, sizeof path, "/proc/%d/task", child);
  expect(path, tids, kThreads + 1);
  expect("/proc/self/task", (int[]){getpid()}, 1);
  for (int i = 0; i <= kThreads; ++i) {
    struct proc_stat line;
    snprintf(path, sizeof path, "/proc/%d/task/%d/stat", child, tids[i]);
    CHECK(read_stat(path, &line));
    CHECK_EQ(line.pid, tids[i]);
    CHECK_EQ(line.ppid, getpid());
    CHECK_EQ(line.threads, kThreads + 1);
    // By its own number at the top as well, unlisted.
    snprintf(path, sizeof path, "/proc/%d/status", tids[i]);
    CHECK_EQ(status_field(path, "Tgid"), child);
    CHECK_EQ(status_field(path, "Pid"), tids[i]);
    snprintf(path, sizeof path, "/proc/self/task/%d", tids[i]);
    struct stat status;
    CHECK_ERRNO(stat(path, &status), ENOENT);
    // The directory of a thread that is a leader of nothing has a task listing too: its process's.
    snprintf(path, sizeof path, "/proc/%d/task", tids[i]);
    expect(path, tids, kThreads + 1);
  }
  struct stat status;
  snprintf(path, sizeof path, "/proc/%d/task", child);
  SYS(stat(path, &status));
  CHECK_EQ(status.st_nlink, 2 + kThreads + 1);
  for (int i = 0; i <= kThreads; ++i) {
    gate_open(&down);
  }
  guest_status(child);
  return guest_pass();
}
