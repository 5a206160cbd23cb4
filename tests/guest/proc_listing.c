// The numeric entries of /proc: natively self and children are among them, in a sandbox they are exactly its processes.
#include <dirent.h>

#include "guest.h"

enum { kChildren = 6 };

static int compare(const void* left, const void* right) {
  return *(const int*)left - *(const int*)right;
}

static int list(int* pids, int most) {
  DIR* directory = opendir("/proc");
  CHECK(directory);
  int count = 0;
  for (struct dirent* entry; errno = 0, (entry = readdir(directory));) {
    char* end;
    long pid = strtol(entry->d_name, &end, 10);
    if (*end == '\0' && pid > 0) {
      CHECK_EQ(entry->d_type, DT_DIR);
      CHECK(count < most);
      pids[count++] = (int)pid;
    }
  }
  CHECK_EQ(errno, 0);
  closedir(directory);
  return count;
}

static void* idle(void* argument) {
  gate_wait(argument);
  return NULL;
}

int main(void) {
  guest_begin();
  struct gate down = gate_make();
  int expected[kChildren + 2], count = 0;
  for (int i = 0; i < kChildren; ++i) {
    pid_t child = guest_fork();
    if (child == 0) {
      gate_wait(&down);
      _exit(0);
    }
    expected[count++] = child;
  }
  // A thread is not listed, though its directory is there.
  pthread_t thread = guest_thread(idle, &down);
  expected[count++] = getpid();
  if (under_beam() && getpid() != 1) {
    expected[count++] = 1;
  }
  qsort(expected, (size_t)count, sizeof expected[0], compare);
  static int seen[40000];
  int seen_count = list(seen, 40000);
  for (int i = 1; i < seen_count; ++i) {
    // In ascending order and once each, as the kernel lists them.
    CHECK(seen[i - 1] < seen[i]);
  }
  for (int i = 0; i < count; ++i) {
    if (!bsearch(&expected[i], seen, (size_t)seen_count, sizeof seen[0], compare)) {
      FAIL("/proc does not list %d", expected[i]);
    }
  }
  if (under_beam()) {
    for (int i = 0; i < seen_count; ++i) {
      if (!bsearch(&seen[i], expected, (size_t)count, sizeof expected[0], compare)) {
        FAIL("/proc lists %d, which is not in the sandbox", seen[i]);
      }
    }
    CHECK_EQ(seen_count, count);
  }
  for (int i = 0; i <= kChildren; ++i) {
    gate_open(&down);
  }
  guest_join(thread);
  while (wait(NULL) > 0) {
  }
  seen_count = list(seen, 40000);
  CHECK(bsearch(&(int){getpid()}, seen, (size_t)seen_count, sizeof seen[0], compare));
  if (under_beam()) {
    CHECK_EQ(seen_count, getpid() == 1 ? 1 : 2);
  }
  return guest_pass();
}
