// Mappings of files that have been removed and closed, across a freeze: private with clean and changed pages, read-only
// shared ones, a file in a directory that is gone as well, memory of a memfd that is mapped privately.
#include <sys/mman.h>

#include "guest.h"

enum { kPage = 4096, kPages = 4 };

static char* map_removed(const char* path, int protection, int flags, int open_flags) {
  int fd = SYS(open(path, O_RDWR | O_CREAT | O_EXCL, 0600));
  for (int i = 0; i < kPages; ++i) {
    char page[kPage];
    memset(page, 'a' + i, sizeof page);
    CHECK_EQ(write(fd, page, sizeof page), sizeof page);
  }
  SYS(close(fd));
  fd = SYS(open(path, open_flags));
  char* map = mmap(NULL, kPages * kPage, protection, flags, fd, 0);
  CHECK(map != MAP_FAILED);
  SYS(close(fd));
  SYS(unlink(path));
  return map;
}

static void expect(const char* map, int page, char byte) {
  CHECK_EQ(map[page * kPage], byte);
  CHECK_EQ(map[page * kPage + kPage - 1], byte);
}

int main(void) {
  guest_begin();
  char* private_map = map_removed("private", PROT_READ | PROT_WRITE, MAP_PRIVATE, O_RDWR);
  memset(private_map + kPage, 'X', kPage);
  char* read_only = map_removed("read-only", PROT_READ, MAP_SHARED, O_RDONLY);
  char* shared = map_removed("shared", PROT_READ | PROT_WRITE, MAP_SHARED, O_RDWR);
  SYS(mkdir("dir", 0700));
  int deep = SYS(open("dir/deep", O_RDWR | O_CREAT | O_EXCL, 0600));
  CHECK_EQ(write(deep, "deep", 4), 4);
  SYS(unlink("dir/deep"));
  SYS(rmdir("dir"));
  int memfd = SYS(memfd_create("both", MFD_CLOEXEC));
  CHECK_EQ(write(memfd, "abcdef", 6), 6);
  char* copy = mmap(NULL, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE, memfd, 0);
  CHECK(copy != MAP_FAILED);
  copy[0] = 'Z';
  pid_t child = guest_fork();
  if (child == 0) {
    guest_fence();
    expect(private_map, 0, 'a');
    expect(private_map, 1, 'X');
    shared[2 * kPage] = 'S';
    _exit(0);
  }
  REAP(child);
  for (int round = 0; round < 2; ++round) {
    expect(private_map, 0, 'a');
    expect(private_map, 1, 'X');
    expect(private_map, 3, 'd');
    expect(read_only, 2, 'c');
    expect(shared, 0, 'a');
    CHECK_EQ(shared[2 * kPage], 'S');
    CHECK_ERRNO(mprotect(read_only, kPage, PROT_READ | PROT_WRITE), EACCES);
    char text[8] = {0};
    CHECK_EQ(pread(deep, text, sizeof text, 0), 4);
    CHECK_STR(text, "deep");
    CHECK_EQ(copy[0], 'Z');
    CHECK_EQ(pread(memfd, text, 6, 0), 6);
    CHECK_EQ(text[0], 'a');
    guest_fence();
  }
  return guest_pass();
}
