// Listing /proc in small pieces, rewinding, seeking back, and by a descriptor that was opened another way.
#include <dirent.h>

#include "guest.h"

struct entry64 {
  uint64_t ino;
  int64_t offset;
  unsigned short length;
  unsigned char type;
  char name[];
};

// All names, in order, with a buffer of this size.
static int collect(int fd, size_t size, char (*names)[256], int most) {
  char buffer[65536] __attribute__((aligned(8)));
  int count = 0;
  for (;;) {
    long got = SYS(syscall(SYS_getdents64, fd, buffer, size));
    if (got == 0) {
      return count;
    }
    for (long at = 0; at < got;) {
      struct entry64* entry = (struct entry64*)(buffer + at);
      CHECK(entry->length > 0 && at + entry->length <= got);
      CHECK_EQ(entry->length % 8, 0);
      CHECK(count < most);
      strncpy(names[count], entry->name, 255);
      ++count;
      at += entry->length;
    }
  }
}

static bool has(char (*names)[256], int count, const char* name) {
  int hits = 0;
  for (int i = 0; i < count; ++i) {
    hits += strcmp(names[i], name) == 0;
  }
  CHECK(hits <= 1);
  return hits == 1;
}

int main(void) {
  guest_begin();
  enum { kMost = 45000 };
  char(*names)[256] = calloc(kMost, 256);
  char self[16];
  snprintf(self, sizeof self, "%d", getpid());
  const char* const expected[] = {".",       "..",      self,  "self",   "thread-self",
                                  "cpuinfo", "meminfo", "sys", "mounts", "stat"};
  const size_t sizes[] = {65536, 4096, 300, 64};
  int fd = SYS(open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (int s = 0; s < 4; ++s) {
    SYS(lseek(fd, 0, SEEK_SET));
    int count = collect(fd, sizes[s], names, kMost);
    for (unsigned i = 0; i < sizeof expected / sizeof expected[0]; ++i) {
      if (!has(names, count, expected[i])) {
        FAIL("/proc by getdents64 of %zu bytes lacks %s", sizes[s], expected[i]);
      }
    }
    // Read to its end, it stays at its end.
    CHECK_EQ(collect(fd, sizes[s], names, kMost), 0);
  }
  char tiny[16];
  SYS(lseek(fd, 0, SEEK_SET));
  CHECK_ERRNO(syscall(SYS_getdents64, fd, tiny, sizeof tiny), EINVAL);
  CHECK_ERRNO(syscall(SYS_getdents64, fd, 8, 4096), EFAULT);

  // Telling and seeking: the same entries follow.
  DIR* directory = opendir("/proc");
  CHECK(directory);
  for (int i = 0; i < 3; ++i) {
    CHECK(readdir(directory));
  }
  long place = telldir(directory);
  struct dirent* next = readdir(directory);
  CHECK(next);
  char remembered[256];
  strncpy(remembered, next->d_name, 255);
  CHECK(readdir(directory));
  seekdir(directory, place);
  next = readdir(directory);
  CHECK(next);
  CHECK_STR(next->d_name, remembered);
  closedir(directory);

  // Relative to a descriptor that is shared with a child.
  pid_t child = guest_fork();
  if (child == 0) {
    SYS(lseek(fd, 0, SEEK_SET));
    _exit(collect(fd, 512, names, kMost) > 10 ? 0 : 1);
  }
  REAP(child);
  CHECK_EQ(collect(fd, 512, names, kMost), 0);
  return guest_pass();
}
