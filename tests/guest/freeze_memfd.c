// memfds across a freeze: contents, offset, name, seals, mappings of the same memory, a second description.
#include <sys/mman.h>

#include "guest.h"

int main(void) {
  guest_begin();
  int open_fd = SYS(memfd_create("first", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  CHECK_EQ(write(open_fd, "hello", 5), 5);
  SYS(ftruncate(open_fd, 10001));
  char* map = mmap(NULL, 12288, PROT_READ | PROT_WRITE, MAP_SHARED, open_fd, 0);
  CHECK(map != MAP_FAILED);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", open_fd);
  int second = SYS(open(path, O_RDONLY));
  int sealed = SYS(memfd_create("sealed", MFD_ALLOW_SEALING));
  CHECK_EQ(write(sealed, "constant", 8), 8);
  SYS(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW));
  const char* constant = mmap(NULL, 4096, PROT_READ, MAP_SHARED, sealed, 0);
  CHECK(constant != MAP_FAILED);
  int unsealable = SYS(memfd_create("unsealable", 0));
  SYS(ftruncate(unsealable, 3));
  SYS(fchmod(unsealable, 0444));
  int held = SYS(memfd_create("mapped", 0));
  SYS(ftruncate(held, 4096));
  char* lone = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, held, 0);
  CHECK(lone != MAP_FAILED);
  strcpy(lone, "alone");
  SYS(close(held));
  pid_t child = guest_fork();
  struct gate go = gate_make();
  if (child == 0) {
    guest_fence();
    map[6] = 'c';
    _exit(0);
  }
  REAP(child);
  gate_close(&go);
  for (int round = 0; round < 2; ++round) {
    CHECK_EQ(map[6], 'c');
    CHECK_EQ(lseek(open_fd, 0, SEEK_CUR), 5);
    CHECK_EQ(lseek(second, 0, SEEK_CUR), 0);
    struct stat info;
    SYS(fstat(open_fd, &info));
    CHECK_EQ(info.st_size, 10001);
    map[100] = (char)(round + 1);
    char byte;
    CHECK_EQ(pread(second, &byte, 1, 100), 1);
    CHECK_EQ(byte, round + 1);
    CHECK_ERRNO(write(second, "x", 1), EBADF);
    char link[64] = {0};
    SYS(readlink(path, link, sizeof link - 1));
    CHECK_STR(link, "/memfd:first (deleted)");
    CHECK_EQ(fcntl(open_fd, F_GET_SEALS), 0);
    CHECK_EQ(fcntl(sealed, F_GET_SEALS), F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW);
    CHECK_ERRNO(write(sealed, "x", 1), EPERM);
    CHECK(memcmp(constant, "constant", 8) == 0);
    CHECK_EQ(fcntl(unsealable, F_GET_SEALS), F_SEAL_SEAL);
    SYS(fstat(unsealable, &info));
    CHECK_EQ(info.st_mode & 0777, 0444);
    CHECK_STR(lone, "alone");
    guest_fence();
  }
  return guest_pass();
}
