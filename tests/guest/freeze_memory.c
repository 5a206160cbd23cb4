// Address spaces across a freeze: private, shared, file mappings with dirty private pages, memory that can't be read,
// what madvise says, locked and guarded memory, a stack that grows, the heap's end, huge reservations.
#include <sys/mman.h>
#include <sys/resource.h>

#include "guest.h"

enum { kPage = 4096 };
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif

// A line of smaps for the mapping at an address.
static void smaps(const void* address, const char* key, char* value, size_t size) {
  FILE* file = fopen("/proc/self/smaps", "re");
  CHECK(file);
  char line[512];
  bool inside = false;
  value[0] = '\0';
  while (fgets(line, sizeof line, file)) {
    unsigned long start, end;
    if (sscanf(line, "%lx-%lx ", &start, &end) == 2) {
      inside = (uintptr_t)address >= start && (uintptr_t)address < end;
    } else if (inside && strncmp(line, key, strlen(key)) == 0) {
      strncpy(value, line + strlen(key), size - 1);
      value[size - 1] = 0;
    }
  }
  fclose(file);
}

static bool has_flag(const void* address, const char* flag) {
  char flags[256];
  smaps(address, "VmFlags:", flags, sizeof flags);
  char wanted[8];
  snprintf(wanted, sizeof wanted, " %s ", flag);
  return strstr(flags, wanted) != NULL;
}

static bool readable(const void* address) {
  int ends[2];
  SYS(pipe(ends));
  bool good = write(ends[1], address, 1) == 1;
  close(ends[0]);
  close(ends[1]);
  return good;
}

static char* map(size_t size, int protection, int flags) {
  char* at = mmap(NULL, size, protection, flags, -1, 0);
  CHECK(at != MAP_FAILED);
  return at;
}

static int deep(int levels) {
  volatile char frame[kPage];
  frame[0] = (char)levels;
  frame[kPage - 1] = (char)levels;
  return levels == 0 ? 0 : deep(levels - 1) + (frame[0] == frame[kPage - 1]);
}

int main(void) {
  guest_begin();
  const int anonymous = MAP_PRIVATE | MAP_ANONYMOUS;
  char* private_ = map(64 * kPage, PROT_READ | PROT_WRITE, anonymous);
  for (int i = 0; i < 64; i += 3) {
    memset(private_ + i * kPage, i + 1, kPage);
  }
  char* shared = map(8 * kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
  memset(shared + 3 * kPage, 's', kPage);
  char* hidden = map(4 * kPage, PROT_READ | PROT_WRITE, anonymous);
  memset(hidden, 'h', 4 * kPage);
  SYS(mprotect(hidden, 4 * kPage, PROT_NONE));
  char* readonly = map(4 * kPage, PROT_READ | PROT_WRITE, anonymous);
  memset(readonly, 'o', 4 * kPage);
  SYS(mprotect(readonly, 4 * kPage, PROT_READ));
  int fd = SYS(open("file", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  SYS(ftruncate(fd, 4 * kPage));
  CHECK_EQ(pwrite(fd, "file", 4, 2 * kPage), 4);
  char* copy = mmap(NULL, 4 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  char* both = mmap(NULL, 4 * kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  CHECK(copy != MAP_FAILED && both != MAP_FAILED);
  copy[kPage] = 'd';
  SYS(mprotect(copy, 4 * kPage, PROT_READ));
  char* advised[6];
  const int advice[6] = {MADV_DONTFORK, MADV_WIPEONFORK, MADV_DONTDUMP, MADV_SEQUENTIAL, MADV_NOHUGEPAGE, MADV_RANDOM};
  const char* flag[6] = {"dc", "wf", "dd", "sr", "nh", "rr"};
  for (int i = 0; i < 6; ++i) {
    advised[i] = map(2 * kPage, PROT_READ | PROT_WRITE, anonymous);
    advised[i][0] = (char)('A' + i);
    SYS(madvise(advised[i], 2 * kPage, advice[i]));
    map(kPage, PROT_NONE, anonymous);
  }
  char* locked = map(2 * kPage, PROT_READ | PROT_WRITE, anonymous);
  SYS(mlock(locked, 2 * kPage));
  map(kPage, PROT_NONE, anonymous);
  char* guarded = map(8 * kPage, PROT_READ | PROT_WRITE, anonymous);
  memset(guarded, 'g', 8 * kPage);
  bool guards = madvise(guarded + 2 * kPage, 2 * kPage, MADV_GUARD_INSTALL) == 0;
  if (!guards) {
    CHECK_EQ(errno, EINVAL);  // Linux before 6.13
  }
  char* grows = mmap(NULL, 4 * kPage, PROT_READ | PROT_WRITE, anonymous | MAP_GROWSDOWN, -1, 0);
  CHECK(grows != MAP_FAILED);
  grows[4 * kPage - 1] = 'w';
  // What Go, Java and sanitizers reserve.
  const size_t terabyte = 1UL << 40;
  char* huge = map(4 * terabyte, PROT_NONE, anonymous | MAP_NORESERVE);
  SYS(mprotect(huge + 3 * terabyte, 16 * kPage, PROT_READ | PROT_WRITE));
  strcpy(huge + 3 * terabyte + 5 * kPage, "far away");
  char* sparse = map(1UL << 36, PROT_READ | PROT_WRITE, anonymous | MAP_NORESERVE);
  sparse[(1UL << 36) - 1] = 'z';
  sparse[1UL << 33] = 'y';
  char* end = sbrk(5 * kPage);
  CHECK(end != (void*)-1);
  strcpy(end + 4 * kPage, "heap");
  char* top = sbrk(0);
  SYS(prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, private_, 64 * kPage, "a name") == 0 || errno == EINVAL ? 0 : -1);
  CHECK_EQ(deep(50), 50);
  struct gate gate = gate_make();
  pid_t child = guest_fork();
  if (child == 0) {
    CHECK(!readable(advised[0]));
    CHECK_EQ(advised[1][0], 0);
    gate_wait(&gate);
    CHECK_EQ(shared[3 * kPage], 'S');
    shared[4 * kPage] = 'c';
    CHECK(!readable(advised[0]));
    _exit(0);
  }

  for (int round = 0; round < 2; ++round) {
    guest_fence();
    for (int i = 0; i < 64; ++i) {
      CHECK_EQ(private_[i * kPage + 77], i % 3 == 0 ? i + 1 : 0);
    }
    CHECK_EQ(shared[3 * kPage + 1], 's');
    CHECK_EQ(shared[5 * kPage], 0);
    CHECK(!readable(hidden));
    CHECK(readable(readonly));
    CHECK_EQ(readonly[3 * kPage], 'o');
    CHECK_EQ(copy[kPage], 'd');
    CHECK_EQ(memcmp(copy + 2 * kPage, "file", 4), 0);
    for (int i = 0; i < 6; ++i) {
      CHECK_EQ(advised[i][0], 'A' + i);
      if (!has_flag(advised[i], flag[i])) {
        FAIL("advice %d is lost", advice[i]);
      }
    }
    CHECK(has_flag(locked, "lo"));
    CHECK(!has_flag(private_, "lo"));
    CHECK(has_flag(grows, "gd"));
    CHECK_EQ(grows[4 * kPage - 1], 'w');
    for (int i = 0; i < 8; ++i) {
      CHECK_EQ(readable(guarded + i * kPage), !guards || i < 2 || i > 3);
    }
    CHECK_EQ(guarded[kPage], 'g');
    CHECK_EQ(guarded[4 * kPage], 'g');
    CHECK_STR(huge + 3 * terabyte + 5 * kPage, "far away");
    CHECK(!readable(huge + terabyte));
    CHECK_EQ(sparse[(1UL << 36) - 1], 'z');
    CHECK_EQ(sparse[1UL << 33], 'y');
    CHECK(sbrk(0) == top);
    CHECK_STR(end + 4 * kPage, "heap");
    CHECK_EQ(deep(100 + round * 100), 100 + round * 100);
  }
  SYS(mprotect(hidden, 4 * kPage, PROT_READ));
  CHECK_EQ(hidden[2 * kPage], 'h');
  both[3 * kPage] = 'b';
  char byte = 0;
  CHECK_EQ(pread(fd, &byte, 1, 3 * kPage), 1);
  CHECK_EQ(byte, 'b');
  if (guards) {
    SYS(madvise(guarded + 2 * kPage, 2 * kPage, MADV_GUARD_REMOVE));
    CHECK_EQ(guarded[2 * kPage], 0);
  }
  shared[3 * kPage] = 'S';
  gate_open(&gate);
  REAP(child);
  CHECK_EQ(shared[4 * kPage], 'c');
  CHECK(brk(top + kPage) == 0);
  // Locked from now on: what is mapped next is there at once.
  struct rlimit limit;
  SYS(getrlimit(RLIMIT_MEMLOCK, &limit));
  if (mlockall(MCL_FUTURE) == 0) {
    guest_fence();
    char* later = map(kPage, PROT_READ | PROT_WRITE, anonymous);
    CHECK(has_flag(later, "lo"));
    SYS(munlockall());
  }
  return guest_pass();
}
