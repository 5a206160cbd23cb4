// Files that have been removed, or never had a name, across a freeze: contents, one inode behind several descriptions
// and mappings, holes, size, links that are made later, another hard link that is still there.
#include <sys/mman.h>

#include "guest.h"

static ino_t inode(int fd) {
  struct stat info;
  SYS(fstat(fd, &info));
  return info.st_ino;
}

int main(void) {
  guest_begin();
  // Removed, with a reader and a writer of their own, and a shared mapping.
  int writer = SYS(open("gone", O_RDWR | O_CREAT | O_EXCL, 0640));
  int reader = SYS(open("gone", O_RDONLY));
  SYS(fchmod(writer, 0640));
  CHECK_EQ(write(writer, "first", 5), 5);
  SYS(ftruncate(writer, 3000000));
  CHECK_EQ(pwrite(writer, "last", 4, 2999996), 4);
  SYS(unlink("gone"));
  char* map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, writer, 0);
  CHECK(map != MAP_FAILED);
  // Mapped only.
  int brief = SYS(open("brief", O_RDWR | O_CREAT | O_EXCL, 0600));
  SYS(ftruncate(brief, 4096));
  char* lone = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, brief, 0);
  CHECK(lone != MAP_FAILED);
  strcpy(lone, "mapped only");
  SYS(unlink("brief"));
  SYS(close(brief));
  // Never named, linked later.
  int nameless = open(".", O_TMPFILE | O_RDWR, 0600);
  if (nameless >= 0) {
    CHECK_EQ(write(nameless, "tmp", 3), 3);
  }
  // Written only.
  int blind = SYS(open("blind", O_WRONLY | O_CREAT | O_EXCL, 0600));
  CHECK_EQ(write(blind, "seen", 4), 4);
  SYS(unlink("blind"));
  // Another name remains.
  int linked = SYS(open("one", O_RDWR | O_CREAT | O_EXCL, 0600));
  CHECK_EQ(write(linked, "linked", 6), 6);
  SYS(link("one", "two"));
  SYS(unlink("one"));

  guest_fence();
  for (int round = 0; round < 2; ++round) {
    char text[16] = {0};
    CHECK_EQ(inode(writer), inode(reader));
    CHECK_EQ(lseek(writer, 0, SEEK_CUR), 5);
    CHECK_EQ(lseek(reader, 0, SEEK_CUR), 0);
    CHECK_EQ(pread(reader, text, 5, 0), 5);
    CHECK(memcmp(text, round == 0 ? "first" : "FIRST", 5) == 0);
    CHECK_EQ(pread(reader, text, 8, 2999996), 4);
    CHECK(memcmp(text, "last", 4) == 0);
    struct stat info;
    SYS(fstat(reader, &info));
    CHECK_EQ(info.st_size, 3000000);
    CHECK_EQ(info.st_nlink, 0);
    CHECK_EQ(info.st_mode & 0777, 0640);
    CHECK(info.st_blocks * 512 < 1000000);
    memcpy(map, "FIRST", 5);
    CHECK_EQ(pread(reader, text, 5, 0), 5);
    CHECK(memcmp(text, "FIRST", 5) == 0);
    CHECK_STR(lone, "mapped only");
    CHECK_ERRNO(access("gone", F_OK), ENOENT);
    SYS(fstat(linked, &info));
    CHECK_EQ(info.st_nlink, 1);
    guest_fence();
  }
  SYS(lseek(linked, 0, SEEK_END));
  CHECK_EQ(write(linked, "!", 1), 1);
  char text[32];
  CHECK_EQ(read_file("two", text, sizeof text), 7);
  CHECK_STR(text, "linked!");
  if (nameless >= 0) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", nameless);
    SYS(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
    CHECK_EQ(read_file("named", text, sizeof text), 3);
    CHECK_STR(text, "tmp");
  }
  CHECK_EQ(write(blind, "!", 1), 1);
  return guest_pass();
}
