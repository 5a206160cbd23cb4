// Files in states that few programs bring them to, across a freeze: beyond 4 GiB, with holes at either end, replaced,
// exchanged, linked while open, appended to by several, described by O_PATH alone, in directories that are gone.
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/ioctl.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "case.h"

static int opened(const char* name, int flags) { return SYS(open(name, flags | O_CREAT, 0640)); }

static ino_t inode_of(int fd) {
  struct stat info;
  SYS(fstat(fd, &info));
  return info.st_ino;
}

static long links_of(int fd) {
  struct stat info;
  SYS(fstat(fd, &info));
  return (long)info.st_nlink;
}

static void expect_bytes(int fd, off_t at, const char* text) {
  char got[64] = "";
  CHECK_EQ(pread(fd, got, strlen(text), at), strlen(text));
  CHECK_STR(got, text);
}

static void append(void) {
  int a = opened("append", O_RDWR | O_APPEND);
  int b = SYS(open("append", O_RDWR));
  CHECK_EQ(write(a, "one", 3), 3);
  CHECK_EQ(lseek(b, 1, SEEK_SET), 1);
  case_wait();
  CHECK_EQ(write(b, "xyzw", 4), 4);
  CHECK_EQ(write(a, "end", 3), 3);
  char got[16] = "";
  CHECK_EQ(pread(a, got, 15, 0), 8);
  CHECK_STR(got, "oxyzwend");
}

static void beyond_4_gib(void) {
  int fd = opened("large", O_RDWR);
  off_t far = (5LL << 30) + 7;
  CHECK_EQ(pwrite(fd, "far", 3, far), 3);
  CHECK_EQ(lseek(fd, far + 1, SEEK_SET), far + 1);
  case_wait();
  CHECK_EQ(lseek(fd, 0, SEEK_CUR), far + 1);
  expect_bytes(fd, far, "far");
}

static void removed_large(void) {
  int fd = opened("removed-large", O_RDWR);
  off_t far = 6LL << 30;
  CHECK_EQ(pwrite(fd, "head", 4, 0), 4);
  CHECK_EQ(pwrite(fd, "tail", 4, far), 4);
  SYS(ftruncate(fd, far + (1 << 20)));
  SYS(unlink("removed-large"));
  case_wait();
  struct stat info;
  SYS(fstat(fd, &info));
  CHECK_EQ(info.st_size, far + (1 << 20));
  CHECK(info.st_blocks < 1000);
  CHECK_EQ(info.st_nlink, 0);
  expect_bytes(fd, 0, "head");
  expect_bytes(fd, far, "tail");
  CHECK_EQ(lseek(fd, 4096, SEEK_DATA), far);
}

static void removed_holes(void) {
  int fd = opened("removed-holes", O_RDWR);
  SYS(ftruncate(fd, 1 << 20));
  for (int i = 1; i < 16; i += 2) {
    CHECK_EQ(pwrite(fd, "data", 4, i * 65536), 4);
  }
  SYS(unlink("removed-holes"));
  case_wait();
  CHECK_EQ(lseek(fd, 0, SEEK_DATA), 65536);
  CHECK_EQ(lseek(fd, 65536, SEEK_HOLE), 65536 + 4096);
  for (int i = 1; i < 16; i += 2) {
    expect_bytes(fd, i * 65536, "data");
  }
}

static void removed_attributes(void) {
  int fd = opened("removed-attributes", O_RDWR);
  SYS(fchmod(fd, 04711));
  struct timespec times[2] = {{1000000000, 5}, {1100000000, 7}};
  bool attributes = fsetxattr(fd, "user.kept", "value", 5, 0) == 0;
  SYS(futimens(fd, times));
  SYS(unlink("removed-attributes"));
  case_wait();
  struct stat info;
  SYS(fstat(fd, &info));
  CHECK_EQ(info.st_mode & 07777, 04711);
  CHECK_EQ(info.st_mtim.tv_sec, 1100000000);
  CHECK_EQ(info.st_mtim.tv_nsec, 7);
  if (attributes) {
    char value[8] = "";
    CHECK_EQ(fgetxattr(fd, "user.kept", value, sizeof value), 5);
    CHECK_STR(value, "value");
  }
}

static void removed_read_only(void) {
  int fd = opened("removed-read-only", O_WRONLY);
  CHECK_EQ(write(fd, "kept", 4), 4);
  SYS(fchmod(fd, 0400));
  int reader = SYS(open("removed-read-only", O_RDONLY));
  SYS(close(fd));
  SYS(unlink("removed-read-only"));
  case_wait();
  expect_bytes(reader, 0, "kept");
  CHECK_ERRNO(write(reader, "x", 1), EBADF);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", reader);
  int again = SYS(open(path, O_RDONLY));
  CHECK_EQ(inode_of(again), inode_of(reader));
}

static void replaced(void) {
  int old = opened("replaced", O_RDWR);
  CHECK_EQ(write(old, "old", 3), 3);
  SYS(unlink("replaced"));
  int new = opened("replaced", O_RDWR | O_EXCL);
  CHECK_EQ(write(new, "new", 3), 3);
  case_wait();
  expect_bytes(old, 0, "old");
  expect_bytes(new, 0, "new");
  CHECK_EQ(links_of(old), 0);
  CHECK_EQ(links_of(new), 1);
}

static void exchanged(void) {
  int a = opened("exchanged-a", O_RDWR), b = opened("exchanged-b", O_RDWR);
  CHECK_EQ(write(a, "a", 1), 1);
  CHECK_EQ(write(b, "b", 1), 1);
  SYS(renameat2(AT_FDCWD, "exchanged-a", AT_FDCWD, "exchanged-b", RENAME_EXCHANGE));
  case_wait();
  expect_bytes(a, 0, "a");
  expect_bytes(b, 0, "b");
  struct stat info;
  SYS(stat("exchanged-b", &info));
  CHECK_EQ(info.st_ino, inode_of(a));
}

static void other_link(void) {
  int fd = opened("linked", O_RDWR);
  SYS(mkdir("links", 0755));
  SYS(link("linked", "links/other"));
  CHECK_EQ(write(fd, "both", 4), 4);
  SYS(unlink("linked"));
  case_wait();
  CHECK_EQ(links_of(fd), 1);
  expect_bytes(fd, 0, "both");
  struct stat info;
  SYS(stat("links/other", &info));
  CHECK_EQ(info.st_ino, inode_of(fd));
}

static void many_links(void) {
  int fd = opened("many-0", O_RDWR);
  char name[32];
  for (int i = 1; i < 10; ++i) {
    snprintf(name, sizeof name, "many-%d", i);
    SYS(link("many-0", name));
  }
  int other = SYS(open("many-5", O_RDWR));
  SYS(unlink("many-0"));
  SYS(unlink("many-5"));
  case_wait();
  CHECK_EQ(links_of(fd), 8);
  CHECK_EQ(inode_of(fd), inode_of(other));
}

static void only_path(void) {
  int fd = opened("only-path", O_RDWR);
  CHECK_EQ(write(fd, "text", 4), 4);
  SYS(close(fd));
  SYS(mkdir("only-directory", 0700));
  SYS(symlink("nowhere", "only-link"));
  int file = SYS(open("only-path", O_PATH));
  int directory = SYS(open("only-directory", O_PATH | O_DIRECTORY));
  int link = SYS(open("only-link", O_PATH | O_NOFOLLOW));
  case_wait();
  CHECK_ERRNO(read(file, &fd, 1), EBADF);
  CHECK(fcntl(file, F_GETFL) & O_PATH);
  struct stat info;
  SYS(fstat(link, &info));
  CHECK(S_ISLNK(info.st_mode));
  char target[16] = "";
  CHECK_EQ(readlinkat(link, "", target, sizeof target), 7);
  CHECK_STR(target, "nowhere");
  SYS(fstat(directory, &info));
  CHECK(S_ISDIR(info.st_mode));
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", file);
  expect_bytes(SYS(open(path, O_RDONLY)), 0, "text");
}

static void only_path_removed(void) {
  SYS(close(opened("only-removed", O_RDWR)));
  int file = SYS(open("only-removed", O_PATH));
  SYS(unlink("only-removed"));
  case_wait();
  CHECK(fcntl(file, F_GETFL) & O_PATH);
  CHECK_EQ(links_of(file), 0);
}

static void temporary(void) {
  int fd = SYS(open(".", O_TMPFILE | O_RDWR, 0600));
  CHECK_EQ(write(fd, "temporary", 9), 9);
  int never = SYS(open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600));
  CHECK_EQ(write(never, "never", 5), 5);
  case_wait();
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  SYS(linkat(AT_FDCWD, path, AT_FDCWD, "got-a-name", AT_SYMLINK_FOLLOW));
  char text[32];
  CHECK_EQ(read_file("got-a-name", text, sizeof text), 9);
  CHECK_STR(text, "temporary");
  expect_bytes(never, 0, "never");
}

static void removed_directories(void) {
  SYS(mkdir("gone", 0755));
  SYS(mkdir("gone/deep", 0755));
  int outer = SYS(open("gone", O_RDONLY | O_DIRECTORY));
  int inner = SYS(open("gone/deep", O_RDONLY | O_DIRECTORY));
  int file = opened("gone/deep/file", O_RDWR);
  CHECK_EQ(write(file, "in", 2), 2);
  SYS(unlink("gone/deep/file"));
  SYS(rmdir("gone/deep"));
  SYS(rmdir("gone"));
  case_wait();
  struct stat info;
  SYS(fstat(outer, &info));
  CHECK(S_ISDIR(info.st_mode));
  CHECK_EQ(info.st_nlink, 0);
  CHECK_ERRNO(openat(inner, "new", O_CREAT | O_RDWR, 0600), ENOENT);
  expect_bytes(file, 0, "in");
}

static void removed_cwd(void) {
  SYS(mkdir("cwd-gone", 0755));
  SYS(chdir("cwd-gone"));
  SYS(rmdir("../cwd-gone"));
  case_wait();
  char path[PATH_MAX];
  CHECK_ERRNO(syscall(SYS_getcwd, path, sizeof path), ENOENT);
  CHECK_ERRNO(open("new", O_CREAT | O_RDWR, 0600), ENOENT);
}

static void removed_cwd_replaced(void) {
  SYS(mkdir("cwd-replaced", 0755));
  SYS(chdir("cwd-replaced"));
  SYS(rmdir("../cwd-replaced"));
  SYS(mkdir("../cwd-replaced", 0700));
  case_wait();
  CHECK_ERRNO(open("new", O_CREAT | O_RDWR, 0600), ENOENT);
}

static void allocated(void) {
  int fd = opened("allocated", O_RDWR);
  if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 1 << 20) != 0) {
    CHECK_EQ(errno, EOPNOTSUPP);
  }
  case_wait();
  struct stat info;
  SYS(fstat(fd, &info));
  CHECK_EQ(info.st_size, 0);
}

static void status_flags(void) {
  int fd = opened("flags", O_RDWR | O_NONBLOCK | O_NOATIME | O_DSYNC);
  int sync = SYS(open("flags", O_WRONLY | O_SYNC));
  int late = SYS(open("flags", O_RDONLY));
  SYS(fcntl(late, F_SETFL, O_APPEND | O_NONBLOCK));
  int before = fcntl(fd, F_GETFL), before_sync = fcntl(sync, F_GETFL), before_late = fcntl(late, F_GETFL);
  case_wait();
  CHECK_EQ(fcntl(fd, F_GETFL), before);
  CHECK_EQ(fcntl(sync, F_GETFL), before_sync);
  CHECK_EQ(fcntl(late, F_GETFL), before_late);
}

static void beyond_end(void) {
  int fd = opened("beyond", O_RDWR);
  CHECK_EQ(write(fd, "abc", 3), 3);
  CHECK_EQ(lseek(fd, 100, SEEK_SET), 100);
  int other = opened("shrunk", O_RDWR);
  CHECK_EQ(write(other, "abcdef", 6), 6);
  SYS(ftruncate(other, 2));
  case_wait();
  CHECK_EQ(lseek(fd, 0, SEEK_CUR), 100);
  CHECK_EQ(lseek(other, 0, SEEK_CUR), 6);
}

static void unreadable(void) {
  int fd = opened("unreadable", O_RDWR);
  CHECK_EQ(write(fd, "mine", 4), 4);
  SYS(fchmod(fd, 0));
  case_wait();
  expect_bytes(fd, 0, "mine");
  CHECK_EQ(pwrite(fd, "M", 1, 0), 1);
  SYS(fchmod(fd, 0600));
}

static void write_only(void) {
  int fd = opened("write-only", O_WRONLY);
  CHECK_EQ(write(fd, "w", 1), 1);
  SYS(fchmod(fd, 0200));
  case_wait();
  char byte;
  CHECK_ERRNO(read(fd, &byte, 1), EBADF);
  CHECK_EQ(write(fd, "x", 1), 1);
}

static void hint_and_signal(void) {
  int fd = opened("hint", O_RDWR);
  uint64_t hint = RWH_WRITE_LIFE_SHORT;
  SYS(fcntl(fd, F_SET_RW_HINT, &hint));
  SYS(fcntl(fd, F_SETSIG, SIGUSR1));
  SYS(fcntl(fd, F_SETOWN, getpid()));
  case_wait();
  hint = 0;
  SYS(fcntl(fd, F_GET_RW_HINT, &hint));
  CHECK_EQ(hint, RWH_WRITE_LIFE_SHORT);
  CHECK_EQ(fcntl(fd, F_GETSIG), SIGUSR1);
  CHECK_EQ(fcntl(fd, F_GETOWN), getpid());
}

static void many_descriptions(void) {
  int first = opened("description", O_RDWR);
  CHECK_EQ(write(first, "0123456789", 10), 10);
  int second = SYS(open("description", O_RDWR)), third = SYS(dup(second));
  int high = SYS(fcntl(third, F_DUPFD_CLOEXEC, 900));
  CHECK_EQ(lseek(second, 4, SEEK_SET), 4);
  case_wait();
  CHECK_EQ(high, 900);
  CHECK_EQ(fcntl(high, F_GETFD), FD_CLOEXEC);
  CHECK_EQ(lseek(third, 1, SEEK_CUR), 5);
  CHECK_EQ(lseek(high, 0, SEEK_CUR), 5);
  CHECK_EQ(lseek(first, 0, SEEK_CUR), 10);
}

static void whole_locks(void) {
  int fd = opened("whole", O_RDWR);
  SYS(flock(fd, LOCK_EX));
  int shared = opened("whole-shared", O_RDWR), other = SYS(open("whole-shared", O_RDWR));
  SYS(flock(shared, LOCK_SH));
  SYS(flock(other, LOCK_SH));
  case_wait();
  int again = SYS(open("whole", O_RDWR));
  CHECK_ERRNO(flock(again, LOCK_SH | LOCK_NB), EWOULDBLOCK);
  CHECK_ERRNO(flock(shared, LOCK_EX | LOCK_NB), EWOULDBLOCK);
  SYS(close(other));
  SYS(flock(shared, LOCK_EX | LOCK_NB));
}

static void leases(void) {
  int reader = opened("lease-read", O_RDONLY);
  SYS(fcntl(reader, F_SETLEASE, F_RDLCK));
  int writer = opened("lease-write", O_RDWR);
  SYS(fcntl(writer, F_SETLEASE, F_WRLCK));
  SYS(fcntl(writer, F_SETSIG, SIGUSR2));
  guest_block(SIGUSR2);
  case_wait();
  CHECK_EQ(fcntl(reader, F_GETLEASE), F_RDLCK);
  CHECK_EQ(fcntl(writer, F_GETLEASE), F_WRLCK);
  CHECK_ERRNO(open("lease-write", O_RDONLY | O_NONBLOCK), EWOULDBLOCK);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  siginfo_t info;
  CHECK_EQ(SYS(sigwaitinfo(&set, &info)), SIGUSR2);
  CHECK_EQ(info.si_fd, writer);
}

static void fifo_ends(void) {
  SYS(mkfifo("fifo-both", 0600));
  int both = SYS(open("fifo-both", O_RDWR));
  CHECK_EQ(write(both, "both", 4), 4);
  SYS(mkfifo("fifo-gone", 0600));
  int reader = SYS(open("fifo-gone", O_RDONLY | O_NONBLOCK));
  int writer = SYS(open("fifo-gone", O_WRONLY));
  CHECK_EQ(write(writer, "gone", 4), 4);
  SYS(unlink("fifo-gone"));
  SYS(mkfifo("fifo-reader", 0600));
  int lone = SYS(open("fifo-reader", O_RDONLY | O_NONBLOCK));
  SYS(mkfifo("fifo-writer", 0600));
  int helper = SYS(open("fifo-writer", O_RDONLY | O_NONBLOCK));
  int alone = SYS(open("fifo-writer", O_WRONLY));
  SYS(close(helper));
  case_wait();
  char got[8] = "";
  CHECK_EQ(read(both, got, 8), 4);
  CHECK_STR(got, "both");
  CHECK_EQ(read(reader, got, 8), 4);
  CHECK_STR(got, "gone");
  SYS(close(writer));
  CHECK_EQ(read(reader, got, 8), 0);
  CHECK_EQ(read(lone, got, 8), 0);
  signal(SIGPIPE, SIG_IGN);
  CHECK_ERRNO(write(alone, "x", 1), EPIPE);
}

static void mapped_times(void) {
  int fd = opened("mapped", O_RDWR);
  SYS(ftruncate(fd, 8192));
  char* memory = SYS(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  memory[0] = 'a';
  struct timespec times[2] = {{0, UTIME_OMIT}, {1000000000, 0}};
  SYS(msync(memory, 8192, MS_SYNC));
  SYS(futimens(fd, times));
  case_wait();
  memory[1] = 'b';
  SYS(msync(memory, 8192, MS_SYNC));
  struct stat info;
  SYS(fstat(fd, &info));
  CHECK(info.st_mtim.tv_sec > 1000000000);
  expect_bytes(fd, 0, "ab");
}

static void truncated_under_map(void) {
  int fd = opened("cut", O_RDWR);
  SYS(ftruncate(fd, 16384));
  char* shared = SYS(mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  char* private = SYS(mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
  memset(private, 'p', 4096);
  SYS(ftruncate(fd, 4096));
  shared[5] = 's';
  case_wait();
  CHECK_EQ(private[100], 'p');
  CHECK_EQ(shared[5], 's');
  struct stat info;
  SYS(fstat(fd, &info));
  CHECK_EQ(info.st_size, 4096);
  SYS(ftruncate(fd, 16384));
  shared[8192] = 't';
  expect_bytes(fd, 8192, "t");
}

static void chrooted_names(void) {
  // A name that the kernel escapes in maps and mountinfo, and bytes that are no UTF-8.
  const char* odd = "odd \n\t\\ \"name\" \xff (deleted)";
  int fd = opened(odd, O_RDWR);
  CHECK_EQ(write(fd, "odd", 3), 3);
  SYS(ftruncate(fd, 4096));
  char* memory = SYS(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  case_wait();
  expect_bytes(fd, 0, "odd");
  CHECK_EQ(memory[0], 'o');
  CHECK_EQ(links_of(fd), 1);
}

// A lease that is being broken goes on being broken, to what it was to become, and its holder is not told twice. Whoever
// waits for it gets the file in the end.
static void lease_breaking_from(const char* name, int lease, int opens, int target) {
  SYS(close(opened(name, O_RDWR)));
  // A lease of reading wants that nobody has the file open for writing.
  int fd = SYS(open(name, target == F_RDLCK || lease == F_RDLCK ? O_RDONLY : O_RDWR));
  SYS(fcntl(fd, F_SETLEASE, lease));
  guest_block(SIGIO);
  CHECK_ERRNO(open(name, opens | O_NONBLOCK), EWOULDBLOCK);
  CHECK_EQ(fcntl(fd, F_GETLEASE), target);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGIO);
  CHECK_EQ(sigwaitinfo(&set, NULL), SIGIO);
  pid_t child = guest_fork();
  if (child == 0) {
    int waited = SYS(open(name, opens));
    SYS(close(waited));
    _exit(0);
  }
  case_wait();
  CHECK_EQ(fcntl(fd, F_GETLEASE), target);
  struct timespec now = {0, 0};
  CHECK_ERRNO(sigtimedwait(&set, NULL, &now), EAGAIN);
  CHECK_ERRNO(open(name, opens | O_NONBLOCK), EWOULDBLOCK);
  CHECK_EQ(fcntl(fd, F_GETOWN), getpid());
  SYS(fcntl(fd, F_SETLEASE, target));
  REAP(child);
  CHECK_EQ(fcntl(fd, F_GETLEASE), target);
  SYS(close(fd));
}

static void lease_breaking_to_read(void) { lease_breaking_from("lease-to-read", F_WRLCK, O_RDONLY, F_RDLCK); }
static void lease_breaking_writer(void) { lease_breaking_from("lease-writer", F_WRLCK, O_WRONLY, F_UNLCK); }
static void lease_breaking_reader(void) { lease_breaking_from("lease-reader", F_RDLCK, O_WRONLY, F_UNLCK); }

int main(void) {
  guest_begin();
  static const struct guest_case cases[] = {
      {"append", append}, {"beyond_4_gib", beyond_4_gib}, {"removed_large", removed_large},
      {"removed_holes", removed_holes}, {"removed_attributes", removed_attributes},
      {"removed_read_only", removed_read_only}, {"replaced", replaced}, {"exchanged", exchanged},
      {"other_link", other_link}, {"many_links", many_links}, {"only_path", only_path},
      {"only_path_removed", only_path_removed}, {"temporary", temporary},
      {"removed_directories", removed_directories}, {"removed_cwd", removed_cwd},
      {"removed_cwd_replaced", removed_cwd_replaced}, {"allocated", allocated}, {"status_flags", status_flags},
      {"beyond_end", beyond_end}, {"unreadable", unreadable}, {"write_only", write_only},
      {"hint_and_signal", hint_and_signal}, {"many_descriptions", many_descriptions}, {"whole_locks", whole_locks},
      {"leases", leases}, {"lease_breaking_to_read", lease_breaking_to_read},
      {"lease_breaking_writer", lease_breaking_writer}, {"lease_breaking_reader", lease_breaking_reader}, {"fifo_ends", fifo_ends},
      {"mapped_times", mapped_times}, {"truncated_under_map", truncated_under_map},
      {"chrooted_names", chrooted_names},
  };
  return CASES(cases);
}
