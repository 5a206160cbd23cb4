// What path calls do, from the man pages: the same on every file system that a sandbox can show. `tree` is made by
// whoever runs the guest (tests/view/semantics_test.py) so that it lies on the workstation, in the private layer, or
// below --rw or --tmpfs; without it the guest makes its own.
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdalign.h>
#include <stddef.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <utime.h>

#include "guest.h"

static int checks;

#define OK(expression)                                       \
  do {                                                       \
    ++checks;                                                \
    errno = 0;                                               \
    if ((long)(expression) < 0) {                            \
      FAIL("%s: errno %d (%s)", #expression, errno, strerror(errno)); \
    }                                                        \
  } while (0)
#define ERR(expression, code)                                                                        \
  do {                                                                                               \
    ++checks;                                                                                        \
    errno = 0;                                                                                       \
    long got_ = (long)(expression);                                                                  \
    if (got_ != -1 || errno != (code)) {                                                             \
      FAIL("%s: got %ld, errno %d (%s), expected %s", #expression, got_, errno, strerror(errno), #code); \
    }                                                                                                \
  } while (0)
#define IS(expression)                    \
  do {                                    \
    ++checks;                             \
    if (!(expression)) {                  \
      FAIL("not so: %s", #expression);    \
    }                                     \
  } while (0)

static char text[65536];

static const char* content(const char* path) {
  ssize_t got = read_file(path, text, sizeof text);
  if (got < 0) {
    snprintf(text, sizeof text, "errno %d", errno);
  }
  return text;
}

static void put(const char* path, const char* what) { write_file(path, what, 0644); }

static void close_ok(int fd) { OK(close(fd)); }

static bool listed(const char* path, const char* name, int type) {
  DIR* dir = opendir(path);
  if (!dir) {
    FAIL("opendir(%s): errno %d", path, errno);
  }
  bool found = false;
  struct dirent* entry;
  while ((entry = readdir(dir))) {
    if (strcmp(entry->d_name, name) == 0) {
      IS(!found);
      found = type < 0 || entry->d_type == type || entry->d_type == DT_UNKNOWN;
    }
  }
  closedir(dir);
  return found;
}

static int count(const char* path) {
  DIR* dir = opendir(path);
  if (!dir) {
    return -1;
  }
  int entries = 0;
  while (readdir(dir)) {
    ++entries;
  }
  closedir(dir);
  return entries - 2;
}

static void make_tree(void) {
  OK(mkdir("dir", 0755));
  OK(mkdir("dir/sub", 0755));
  OK(mkdir("dir/sub/deep", 0755));
  OK(mkdir("empty", 0755));
  OK(mkdir("other", 0755));
  put("file", "file");
  put("dir/one", "one");
  put("dir/two", "two");
  put("dir/sub/three", "three");
  put("dir/sub/deep/four", "four");
  put("big", "0123456789");
  put("script", "#!/bin/sh\necho \"$0 $1\"\n");
  OK(chmod("script", 0755));
  OK(symlink("dir", "to_dir"));
  OK(symlink("file", "to_file"));
  OK(symlink("../file", "dir/up"));
  OK(symlink("nowhere", "dangling"));
  OK(symlink("loop_b", "loop_a"));
  OK(symlink("loop_a", "loop_b"));
  OK(link("file", "hard"));
  for (int i = 0; i < 50; ++i) {
    char name[32];
    snprintf(name, sizeof name, "other/%02d", i);
    put(name, name);
  }
}

static void resolution(const char* top) {
  char path[PATH_MAX + 300];
  struct stat a;
  struct stat b;
  IS(strcmp(content("file"), "file") == 0);
  IS(strcmp(content("dir/one"), "one") == 0);
  IS(strcmp(content("to_dir/one"), "one") == 0);
  IS(strcmp(content("to_file"), "file") == 0);
  IS(strcmp(content("dir/up"), "file") == 0);
  IS(strcmp(content("to_dir/up"), "file") == 0);
  IS(strcmp(content("to_dir/../file"), "file") == 0);
  IS(strcmp(content("./dir/./sub/../one"), "one") == 0);
  IS(strcmp(content("dir//sub///three"), "three") == 0);
  snprintf(path, sizeof path, "%s/dir/sub/three", top);
  IS(strcmp(content(path), "three") == 0);
  snprintf(path, sizeof path, "/../..%s/file", top);
  IS(strcmp(content(path), "file") == 0);
  ERR(stat("missing", &a), ENOENT);
  ERR(stat("missing/x", &a), ENOENT);
  ERR(stat("", &a), ENOENT);
  ERR(stat("file/", &a), ENOTDIR);
  ERR(stat("file/x", &a), ENOTDIR);
  ERR(stat("file/.", &a), ENOTDIR);
  ERR(stat("file/..", &a), ENOTDIR);
  ERR(stat("to_file/", &a), ENOTDIR);
  ERR(lstat("to_file/", &a), ENOTDIR);
  OK(stat("to_dir/", &a));
  IS(S_ISDIR(a.st_mode));
  OK(lstat("to_dir/", &a));
  IS(S_ISDIR(a.st_mode));
  OK(lstat("to_dir", &a));
  IS(S_ISLNK(a.st_mode) && a.st_size == 3);
  OK(lstat("to_dir/.", &a));
  IS(S_ISDIR(a.st_mode));
  ERR(stat("dangling", &a), ENOENT);
  OK(lstat("dangling", &a));
  ERR(stat("loop_a", &a), ELOOP);
  ERR(stat("loop_a/x", &a), ELOOP);
  OK(lstat("loop_a", &a));
  ERR(open("loop_a", O_RDONLY), ELOOP);
  ERR(chdir("loop_a"), ELOOP);
  ERR(access("loop_b", F_OK), ELOOP);
  memset(path, 'n', 255);
  path[255] = 0;
  ERR(stat(path, &a), ENOENT);
  path[255] = 'n';
  path[256] = 0;
  ERR(stat(path, &a), ENAMETOOLONG);
  ERR(mkdir(path, 0700), ENAMETOOLONG);
  ERR(open(path, O_RDWR | O_CREAT, 0600), ENAMETOOLONG);
  ERR(rename("file", path), ENAMETOOLONG);
  for (int i = 0; i < PATH_MAX; i += 2) {
    memcpy(path + i, "./", 2);
  }
  strcpy(path + PATH_MAX - 6, "file");
  OK(stat(path, &a));
  strcpy(path + PATH_MAX - 4, "file");
  ERR(stat(path, &a), ENAMETOOLONG);
  ERR(stat((char*)1, &a), EFAULT);
  ERR(open((char*)1, O_RDONLY), EFAULT);
  ERR(mkdir((char*)1, 0700), EFAULT);
  ERR(unlink((char*)1), EFAULT);
  OK(stat("file", &a));
  OK(stat("hard", &b));
  IS(a.st_ino == b.st_ino && a.st_dev == b.st_dev);
  int fd = open("file", O_RDONLY);
  OK(fd);
  OK(fstat(fd, &b));
  IS(a.st_ino == b.st_ino && a.st_dev == b.st_dev && a.st_size == b.st_size);
  close_ok(fd);
  // Forty links at most on one way.
  char target[32] = "file";
  for (int i = 0; i < 41; ++i) {
    char name[32];
    snprintf(name, sizeof name, "chain%d", i);
    OK(symlink(target, name));
    strcpy(target, name);
  }
  OK(stat("chain39", &a));
  ERR(stat("chain40", &a), ELOOP);
  for (int i = 0; i < 41; ++i) {
    char name[32];
    snprintf(name, sizeof name, "chain%d", i);
    OK(unlink(name));
  }
}

static void opening(void) {
  struct stat a;
  int fd;
  ERR(open("file", O_RDONLY | O_CREAT | O_EXCL, 0600), EEXIST);
  ERR(open("dangling", O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
  ERR(open("to_file", O_RDONLY | O_NOFOLLOW), ELOOP);
  ERR(open("dir", O_WRONLY), EISDIR);
  ERR(open("dir", O_RDWR), EISDIR);
  ERR(open("dir", O_RDONLY | O_CREAT, 0600), EISDIR);
  ERR(open("file", O_RDONLY | O_DIRECTORY), ENOTDIR);
  ERR(open("to_dir", O_RDONLY | O_DIRECTORY | O_NOFOLLOW), ENOTDIR);
  ERR(open("new/", O_RDWR | O_CREAT, 0600), EISDIR);
  ERR(open("missing/new", O_RDWR | O_CREAT, 0600), ENOENT);
  ERR(open("file/new", O_RDWR | O_CREAT, 0600), ENOTDIR);
  ERR(open("missing", O_RDONLY), ENOENT);
  ERR(open("missing", O_RDONLY | O_TRUNC), ENOENT);
  OK(fd = open("new", O_RDWR | O_CREAT | O_EXCL, 0640));
  OK(fstat(fd, &a));
  IS((a.st_mode & 07777) == 0640 && a.st_size == 0 && a.st_nlink == 1 && a.st_uid == geteuid());
  IS(write(fd, "abc", 3) == 3);
  close_ok(fd);
  OK(fd = open("new", O_WRONLY | O_APPEND));
  IS(write(fd, "def", 3) == 3);
  close_ok(fd);
  IS(strcmp(content("new"), "abcdef") == 0);
  OK(fd = open("new", O_RDWR | O_CREAT | O_TRUNC, 0600));
  OK(fstat(fd, &a));
  IS(a.st_size == 0 && (a.st_mode & 07777) == 0640);
  close_ok(fd);
  OK(unlink("new"));
  OK(fd = open("dangling", O_RDWR | O_CREAT, 0600));
  close_ok(fd);
  OK(stat("nowhere", &a));
  OK(unlink("nowhere"));
  // O_PATH
  OK(fd = open("file", O_PATH));
  ERR(read(fd, text, 1), EBADF);
  OK(fstat(fd, &a));
  IS(S_ISREG(a.st_mode));
  close_ok(fd);
  OK(fd = open("to_file", O_PATH | O_NOFOLLOW));
  OK(fstat(fd, &a));
  IS(S_ISLNK(a.st_mode));
  IS(readlinkat(fd, "", text, sizeof text) == 4);
  close_ok(fd);
  OK(fd = open("dir", O_PATH | O_DIRECTORY));
  OK(fstatat(fd, "one", &a, 0));
  OK(fstatat(fd, "", &a, AT_EMPTY_PATH));
  IS(S_ISDIR(a.st_mode));
  int inner = openat(fd, "sub/three", O_RDONLY);
  OK(inner);
  IS(read(inner, text, 5) == 5 && memcmp(text, "three", 5) == 0);
  close_ok(inner);
  OK(openat(fd, "../file", O_RDONLY) == -1 ? -1 : 0);
  close_ok(fd);
  ERR(openat(-1, "file", O_RDONLY), EBADF);
  OK(fd = open("file", O_RDONLY));
  ERR(openat(fd, "x", O_RDONLY), ENOTDIR);
  close_ok(fd);
  // umask
  mode_t before = umask(027);
  OK(fd = open("masked", O_RDWR | O_CREAT, 0666));
  OK(fstat(fd, &a));
  IS((a.st_mode & 07777) == 0640);
  close_ok(fd);
  OK(mkdir("masked_dir", 0777));
  OK(stat("masked_dir", &a));
  IS((a.st_mode & 07777) == 0750);
  umask(before);
  OK(unlink("masked"));
  OK(rmdir("masked_dir"));
  // O_TMPFILE
  fd = open("dir", O_TMPFILE | O_RDWR, 0600);
  if (fd >= 0) {
    char link_path[64];
    IS(write(fd, "temporary", 9) == 9);
    snprintf(link_path, sizeof link_path, "/proc/self/fd/%d", fd);
    OK(linkat(AT_FDCWD, link_path, AT_FDCWD, "dir/named", AT_SYMLINK_FOLLOW));
    close_ok(fd);
    IS(strcmp(content("dir/named"), "temporary") == 0);
    OK(unlink("dir/named"));
  } else {
    IS(errno == EOPNOTSUPP);
  }
  ERR(open("dir", O_TMPFILE | O_RDONLY, 0600), EINVAL);
  ERR(open("file", O_TMPFILE | O_RDWR, 0600), ENOTDIR);
  // openat2
  struct open_how how = {.flags = O_RDONLY, .resolve = RESOLVE_NO_SYMLINKS};
  ERR(syscall(SYS_openat2, AT_FDCWD, "to_dir/one", &how, sizeof how), ELOOP);
  how.resolve = RESOLVE_BENEATH;
  OK(fd = open("dir", O_RDONLY | O_DIRECTORY));
  ERR(syscall(SYS_openat2, fd, "../file", &how, sizeof how), EXDEV);
  ERR(syscall(SYS_openat2, fd, "up", &how, sizeof how), EXDEV);
  ERR(syscall(SYS_openat2, fd, "/", &how, sizeof how), EXDEV);
  OK(inner = (int)syscall(SYS_openat2, fd, "sub/../one", &how, sizeof how));
  close_ok(inner);
  how.resolve = RESOLVE_IN_ROOT;
  OK(inner = (int)syscall(SYS_openat2, fd, "/one", &how, sizeof how));
  close_ok(inner);
  OK(inner = (int)syscall(SYS_openat2, fd, "../../one", &how, sizeof how));
  close_ok(inner);
  ERR(syscall(SYS_openat2, fd, "up", &how, sizeof how), ENOENT);
  close_ok(fd);
  how.resolve = 0x8000;
  ERR(syscall(SYS_openat2, AT_FDCWD, "file", &how, sizeof how), EINVAL);
  how.resolve = 0;
  how.mode = 0600;
  ERR(syscall(SYS_openat2, AT_FDCWD, "file", &how, sizeof how), EINVAL);
  ERR(syscall(SYS_openat2, AT_FDCWD, "file", &how, 8), EINVAL);
  // Open, then deleted.
  put("gone", "still");
  OK(fd = open("gone", O_RDWR));
  OK(unlink("gone"));
  ERR(stat("gone", &a), ENOENT);
  OK(fstat(fd, &a));
  IS(a.st_nlink == 0);
  IS(pread(fd, text, 5, 0) == 5 && memcmp(text, "still", 5) == 0);
  char again[64];
  snprintf(again, sizeof again, "/proc/self/fd/%d", fd);
  OK(inner = open(again, O_RDONLY));
  IS(read(inner, text, 5) == 5);
  close_ok(inner);
  close_ok(fd);
}

static void names(void) {
  struct stat a;
  struct stat b;
  ERR(mkdir("dir", 0700), EEXIST);
  ERR(mkdir("file", 0700), EEXIST);
  ERR(mkdir("dangling", 0700), EEXIST);
  ERR(mkdir("missing/x", 0700), ENOENT);
  ERR(mkdir("file/x", 0700), ENOTDIR);
  ERR(mkdir(".", 0700), EEXIST);
  ERR(mkdir("..", 0700), EEXIST);
  ERR(mkdir("/", 0700), EEXIST);
  OK(mkdir("made/", 0700));
  OK(stat("made", &a));
  IS(S_ISDIR(a.st_mode) && a.st_nlink == 2);
  IS(count("made") == 0);
  OK(mkdir("made/in", 0700));
  OK(stat("made", &a));
  IS(a.st_nlink == 3);
  ERR(rmdir("made"), ENOTEMPTY);
  ERR(rmdir("file"), ENOTDIR);
  ERR(rmdir("made/in/."), EINVAL);
  ERR(rmdir("made/in/.."), ENOTEMPTY);
  ERR(rmdir("missing"), ENOENT);
  ERR(unlink("made"), EISDIR);
  ERR(unlink("missing"), ENOENT);
  ERR(unlink("file/"), ENOTDIR);
  ERR(unlink("file/x"), ENOTDIR);
  ERR(unlinkat(AT_FDCWD, "file", 0x10000), EINVAL);
  ERR(unlinkat(AT_FDCWD, "file", AT_REMOVEDIR), ENOTDIR);
  OK(rmdir("made/in/"));
  OK(unlinkat(AT_FDCWD, "made", AT_REMOVEDIR));
  ERR(rmdir("dir"), ENOTEMPTY);
  ERR(rmdir("dir/sub"), ENOTEMPTY);
  // What is there from the start goes and comes.
  IS(listed("dir", "one", DT_REG) && listed("dir", "sub", DT_DIR) && listed("dir", "up", DT_LNK));
  IS(count("dir") == 4);
  OK(unlink("dir/one"));
  ERR(stat("dir/one", &a), ENOENT);
  IS(!listed("dir", "one", -1) && count("dir") == 3);
  put("dir/one", "again");
  IS(strcmp(content("to_dir/one"), "again") == 0);
  IS(listed("dir", "one", DT_REG) && count("dir") == 4);
  OK(unlink("dir/sub/deep/four"));
  OK(rmdir("dir/sub/deep"));
  ERR(chdir("dir/sub/deep"), ENOENT);
  OK(mkdir("dir/sub/deep", 0711));
  IS(count("dir/sub/deep") == 0);
  OK(stat("dir/sub/deep", &a));
  IS((a.st_mode & 07777) == 0711);
  put("dir/sub/deep/four", "four");
  // rename
  OK(rename("dir/two", "dir/2"));
  ERR(stat("dir/two", &a), ENOENT);
  IS(strcmp(content("dir/2"), "two") == 0);
  OK(rename("dir/2", "moved"));
  OK(rename("moved", "dir/two"));
  OK(rename("dir", "renamed"));
  IS(strcmp(content("renamed/sub/three"), "three") == 0);
  ERR(stat("dir/one", &a), ENOENT);
  ERR(stat("to_dir/one", &a), ENOENT);
  put("renamed/sub/inside", "inside");
  OK(rename("renamed", "dir"));
  IS(strcmp(content("dir/sub/inside"), "inside") == 0);
  OK(unlink("dir/sub/inside"));
  OK(rename("dir/sub", "sub"));
  IS(strcmp(content("sub/deep/four"), "four") == 0);
  OK(stat("sub/..", &a));
  OK(stat(".", &b));
  IS(a.st_ino == b.st_ino);
  OK(rename("sub", "dir/sub"));
  ERR(rename("dir", "dir/sub/x"), EINVAL);
  ERR(rename("dir", "dir/sub"), EINVAL);
  ERR(rename("dir/sub", "dir"), ENOTEMPTY);
  ERR(rename("dir", "file"), ENOTDIR);
  ERR(rename("file", "dir"), EISDIR);
  ERR(rename("empty", "dir"), ENOTEMPTY);
  ERR(rename("missing", "x"), ENOENT);
  ERR(rename("file", "missing/x"), ENOENT);
  ERR(rename("file", "x/"), ENOTDIR);
  ERR(rename("file/", "x"), ENOTDIR);
  ERR(rename(".", "x"), EBUSY);
  ERR(rename("dir", "."), EBUSY);
  OK(rename("file", "file"));
  OK(rename("file", "hard"));
  OK(stat("file", &a));
  OK(mkdir("target", 0755));
  OK(rename("empty", "target"));
  ERR(stat("empty", &a), ENOENT);
  OK(rename("target", "empty"));
  OK(rename("other/00", "other/01"));
  IS(strcmp(content("other/01"), "other/00") == 0);
  IS(count("other") == 49);
  OK(rename("other/02", "empty/02"));
  IS(strcmp(content("empty/02"), "other/02") == 0);
  OK(syscall(SYS_renameat2, AT_FDCWD, "other/03", AT_FDCWD, "dir", RENAME_EXCHANGE));
  IS(strcmp(content("dir"), "other/03") == 0);
  IS(strcmp(content("other/03/two"), "two") == 0);
  OK(syscall(SYS_renameat2, AT_FDCWD, "other/03", AT_FDCWD, "dir", RENAME_EXCHANGE));
  OK(syscall(SYS_renameat2, AT_FDCWD, "other/04", AT_FDCWD, "other/05", RENAME_EXCHANGE));
  IS(strcmp(content("other/04"), "other/05") == 0);
  IS(strcmp(content("other/05"), "other/04") == 0);
  ERR(syscall(SYS_renameat2, AT_FDCWD, "other/04", AT_FDCWD, "other/05", RENAME_NOREPLACE), EEXIST);
  ERR(syscall(SYS_renameat2, AT_FDCWD, "other/04", AT_FDCWD, "none", RENAME_EXCHANGE), ENOENT);
  ERR(syscall(SYS_renameat2, AT_FDCWD, "other/04", AT_FDCWD, "none", RENAME_EXCHANGE | RENAME_NOREPLACE), EINVAL);
  ERR(syscall(SYS_renameat2, AT_FDCWD, "other/04", AT_FDCWD, "none", 0x100), EINVAL);
  OK(syscall(SYS_renameat2, AT_FDCWD, "other/04", AT_FDCWD, "none", RENAME_NOREPLACE));
  OK(unlink("none"));
  // link
  OK(link("other/06", "linked"));
  OK(stat("linked", &a));
  OK(stat("other/06", &b));
  IS(a.st_nlink == 2 && a.st_ino == b.st_ino);
  put("linked", "through both");
  IS(strcmp(content("other/06"), "through both") == 0);
  ERR(link("other/06", "linked"), EEXIST);
  ERR(link("dir", "linked2"), EPERM);
  ERR(link("missing", "linked2"), ENOENT);
  ERR(link("file", "missing/x"), ENOENT);
  ERR(link("file", "linked2/"), ENOENT);
  OK(link("to_file", "link_of_link"));
  OK(lstat("link_of_link", &a));
  IS(S_ISLNK(a.st_mode));
  OK(linkat(AT_FDCWD, "to_file", AT_FDCWD, "link_of_file", AT_SYMLINK_FOLLOW));
  OK(lstat("link_of_file", &a));
  IS(S_ISREG(a.st_mode));
  ERR(linkat(AT_FDCWD, "file", AT_FDCWD, "x", 0x8000), EINVAL);
  OK(unlink("linked"));
  OK(unlink("link_of_link"));
  OK(unlink("link_of_file"));
  OK(stat("other/06", &b));
  IS(b.st_nlink == 1);
  // symlink
  ERR(symlink("x", "file"), EEXIST);
  ERR(symlink("", "empty_link"), ENOENT);
  ERR(symlink("x", "missing/y"), ENOENT);
  OK(symlink("any target at all", "link"));
  IS(readlink("link", text, sizeof text) == 17 && memcmp(text, "any target at all", 17) == 0);
  IS(readlink("link", text, 3) == 3);
  ERR(readlink("link", text, 0), EINVAL);
  ERR(readlink("file", text, sizeof text), EINVAL);
  ERR(readlink("missing", text, sizeof text), ENOENT);
  OK(unlink("link"));
  // Nodes
  OK(mkfifo("fifo", 0600));
  OK(lstat("fifo", &a));
  IS(S_ISFIFO(a.st_mode));
  ERR(open("fifo", O_WRONLY | O_NONBLOCK), ENXIO);
  pid_t child = guest_fork();
  if (child == 0) {
    int fd = open("fifo", O_WRONLY);
    _exit(write(fd, "fifo", 4) == 4 ? 0 : 1);
  }
  int fd = open("fifo", O_RDONLY);
  OK(fd);
  IS(read(fd, text, 4) == 4 && memcmp(text, "fifo", 4) == 0);
  close_ok(fd);
  REAP(child);
  OK(unlink("fifo"));
  OK(mknod("plain", S_IFREG | 0600, 0));
  OK(stat("plain", &a));
  IS(S_ISREG(a.st_mode));
  ERR(mknod("plain", S_IFREG | 0600, 0), EEXIST);
  OK(unlink("plain"));
  ERR(mknod("x", S_IFDIR | 0700, 0), EPERM);
  ERR(mknod("x", 0170000, 0), EINVAL);
}

static void attributes(void) {
  struct stat a;
  OK(chmod("file", 0600));
  OK(stat("file", &a));
  IS((a.st_mode & 07777) == 0600);
  OK(stat("hard", &a));
  IS(strcmp(content("file"), "file") == 0);
  OK(chmod("dir/two", 0444));
  if (geteuid() != 0) {
    ERR(open("dir/two", O_WRONLY), EACCES);
    ERR(access("dir/two", W_OK), EACCES);
    ERR(truncate("dir/two", 0), EACCES);
    OK(chmod("dir/two", 0));
    ERR(open("dir/two", O_RDONLY), EACCES);
    OK(mkdir("closed", 0700));
    put("closed/in", "in");
    OK(chmod("closed", 0600));
    ERR(stat("closed/in", &a), EACCES);
    ERR(chdir("closed"), EACCES);
    OK(chmod("closed", 0500));
    ERR(unlink("closed/in"), EACCES);
    ERR(mkdir("closed/x", 0700), EACCES);
    ERR(open("closed/x", O_RDWR | O_CREAT, 0600), EACCES);
    ERR(rename("closed/in", "in"), EACCES);
    ERR(link("file", "closed/l"), EACCES);
    ERR(symlink("file", "closed/l"), EACCES);
    OK(chmod("closed", 0700));
    OK(unlink("closed/in"));
    OK(rmdir("closed"));
    ERR(chown("file", 0, 0), EPERM);
    ERR(open("/etc/passwd", O_RDWR), EACCES);
    ERR(mkdir("/etc/beam-test", 0700), EACCES);
    ERR(unlink("/etc/passwd"), EACCES);
    ERR(chmod("/etc/passwd", 0600), EPERM);
    ERR(utimes("/etc/passwd", NULL), EACCES);
    ERR(rename("/etc/passwd", "/etc/p"), EACCES);
  }
  OK(chmod("dir/two", 0644));
  ERR(chmod("missing", 0600), ENOENT);
  OK(access("file", R_OK | W_OK));
  ERR(access("missing", F_OK), ENOENT);
  ERR(access("file", 16), EINVAL);
  OK(faccessat(AT_FDCWD, "dangling", F_OK, AT_SYMLINK_NOFOLLOW));
  int fd = open("dir/sub/three", O_RDONLY);
  OK(fd);
  OK(fchmod(fd, 0640));
  OK(stat("dir/sub/three", &a));
  IS((a.st_mode & 07777) == 0640);
  close_ok(fd);
  OK(chown("file", (uid_t)-1, getegid()));
  OK(lchown("to_file", geteuid(), (gid_t)-1));
  // Times
  struct timespec times[2] = {{100, 5}, {200, 7}};
  OK(utimensat(AT_FDCWD, "big", times, 0));
  OK(stat("big", &a));
  IS(a.st_atim.tv_sec == 100 && a.st_mtim.tv_sec == 200 && a.st_mtim.tv_nsec == 7);
  times[0].tv_nsec = UTIME_OMIT;
  times[1].tv_nsec = UTIME_NOW;
  OK(utimensat(AT_FDCWD, "big", times, 0));
  OK(stat("big", &a));
  IS(a.st_atim.tv_sec == 100 && a.st_mtim.tv_sec > 1000000);
  times[1] = (struct timespec){300, 1000000000};
  ERR(utimensat(AT_FDCWD, "big", times, 0), EINVAL);
  times[0] = times[1] = (struct timespec){400, 0};
  OK(utimensat(AT_FDCWD, "to_file", times, AT_SYMLINK_NOFOLLOW));
  OK(lstat("to_file", &a));
  IS(a.st_mtim.tv_sec == 400);
  OK(stat("to_file", &a));
  IS(a.st_mtim.tv_sec != 400);
  OK(fd = open("big", O_RDONLY));
  OK(futimens(fd, times));
  OK(stat("big", &a));
  IS(a.st_mtim.tv_sec == 400);
  close_ok(fd);
  struct utimbuf old = {500, 600};
  OK(utime("big", &old));
  OK(stat("big", &a));
  IS(a.st_mtim.tv_sec == 600);
  OK(utime("big", NULL));
  // Lengths
  IS(strcmp(content("big"), "0123456789") == 0);
  OK(truncate("big", 4));
  IS(strcmp(content("big"), "0123") == 0);
  OK(truncate("big", 1 << 20));
  OK(stat("big", &a));
  IS(a.st_size == 1 << 20 && a.st_blocks * 512 < 1 << 20);
  ERR(truncate("dir", 0), EISDIR);
  ERR(truncate("missing", 0), ENOENT);
  ERR(truncate("big", -1), EINVAL);
  // Extended attributes
  if (setxattr("file", "user.name", "value", 5, 0) == 0) {
    IS(getxattr("file", "user.name", text, sizeof text) == 5 && memcmp(text, "value", 5) == 0);
    IS(getxattr("file", "user.name", text, 0) == 5);
    ERR(getxattr("file", "user.name", text, 2), ERANGE);
    ERR(getxattr("file", "user.none", text, sizeof text), ENODATA);
    ERR(setxattr("file", "user.name", "x", 1, XATTR_CREATE), EEXIST);
    ERR(setxattr("file", "user.none", "x", 1, XATTR_REPLACE), ENODATA);
    IS(listxattr("file", text, sizeof text) == 10 && strcmp(text, "user.name") == 0);
    OK(fd = open("file", O_RDONLY));
    OK(fsetxattr(fd, "user.second", "2", 1, 0));
    IS(fgetxattr(fd, "user.second", text, sizeof text) == 1 || getxattr("file", "user.second", text, 64) == 1);
    OK(fremovexattr(fd, "user.second"));
    close_ok(fd);
    OK(removexattr("file", "user.name"));
    ERR(removexattr("file", "user.name"), ENODATA);
    IS(listxattr("file", text, sizeof text) == 0);
    ERR(setxattr("missing", "user.name", "v", 1, 0), ENOENT);
    ERR(lsetxattr("to_file", "user.name", "v", 1, 0), EPERM);
    OK(setxattr("dir", "user.d", "v", 1, 0));
    IS(listxattr("dir", text, sizeof text) == 7);
    OK(removexattr("dir", "user.d"));
  } else {
    IS(errno == ENOTSUP);
  }
  struct statfs fs;
  OK(statfs("file", &fs));
  IS(fs.f_bsize > 0);
  ERR(statfs("missing", &fs), ENOENT);
}

static void directories(const char* top) {
  char path[PATH_MAX];
  char expected[PATH_MAX];
  struct stat a;
  struct stat b;
  OK(chdir("dir/sub"));
  snprintf(expected, sizeof expected, "%s/dir/sub", top);
  IS(getcwd(path, sizeof path) && strcmp(path, expected) == 0);
  IS(strcmp(content("three"), "three") == 0);
  IS(strcmp(content("../one"), "again") == 0);
  put("../../from_below", "x");
  OK(chdir(".."));
  OK(stat("../from_below", &a));
  OK(unlink("../from_below"));
  OK(chdir(top));
  OK(chdir("to_dir"));
  snprintf(expected, sizeof expected, "%s/dir", top);
  IS(getcwd(path, sizeof path) && strcmp(path, expected) == 0);
  IS(readlink("/proc/self/cwd", path, sizeof path) == (ssize_t)strlen(expected) &&
     memcmp(path, expected, strlen(expected)) == 0);
  ERR((long)syscall(SYS_getcwd, path, 2), ERANGE);
  OK(chdir(top));
  int fd = open("other", O_RDONLY | O_DIRECTORY);
  OK(fd);
  OK(fchdir(fd));
  put("here", "here");
  OK(stat("here", &a));
  OK(fstatat(fd, "here", &b, 0));
  IS(a.st_ino == b.st_ino);
  OK(unlinkat(fd, "here", 0));
  OK(chdir(".."));
  IS(getcwd(path, sizeof path) && strcmp(path, top) == 0);
  OK(mkdirat(fd, "made", 0700));
  OK(renameat(fd, "made", AT_FDCWD, "made"));
  OK(rmdir("made"));
  close_ok(fd);
  // A working directory that is no more.
  OK(mkdir("lost", 0700));
  OK(chdir("lost"));
  OK(rmdir("../lost"));
  ERR((long)syscall(SYS_getcwd, path, sizeof path), ENOENT);
  ERR(open("x", O_RDWR | O_CREAT, 0600), ENOENT);
  ERR(mkdir("x", 0700), ENOENT);
  OK(chdir(top));
  // One that is renamed.
  OK(mkdir("before", 0700));
  OK(chdir("before"));
  OK(rename("../before", "../after"));
  snprintf(expected, sizeof expected, "%s/after", top);
  IS(getcwd(path, sizeof path) && strcmp(path, expected) == 0);
  put("inside", "x");
  OK(chdir(top));
  OK(stat("after/inside", &a));
  OK(unlink("after/inside"));
  OK(rmdir("after"));
  OK(chdir("dir/sub/deep"));
  OK(rename("../../../dir", "../../../dir2"));
  snprintf(expected, sizeof expected, "%s/dir2/sub/deep", top);
  IS(getcwd(path, sizeof path) && strcmp(path, expected) == 0);
  OK(chdir(top));
  OK(rename("dir2", "dir"));
  // Reading while it changes.
  DIR* dir = opendir("other");
  IS(dir != NULL);
  int seen = 0;
  struct dirent* entry;
  while ((entry = readdir(dir))) {
    if (entry->d_name[0] != '.') {
      ++seen;
      OK(unlinkat(dirfd(dir), entry->d_name, 0));
    }
  }
  closedir(dir);
  IS(seen >= 46);
  IS(count("other") == 0);
  for (int i = 0; i < 100; ++i) {
    snprintf(path, sizeof path, "other/%d", i);
    put(path, "");
  }
  IS(count("other") == 100);
  ERR(chdir("file"), ENOTDIR);
  ERR(chdir("missing"), ENOENT);
  if (geteuid() != 0) {
    ERR(chroot("dir"), EPERM);
  }
  OK(stat("/", &a));
  OK(stat("/..", &b));
  IS(a.st_ino == b.st_ino);
}

static void descriptors(const char* top) {
  char path[PATH_MAX];
  char expected[PATH_MAX];
  struct stat a;
  struct stat b;
  int fd = open("dir/two", O_RDONLY);
  OK(fd);
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  ssize_t got = readlink(path, expected, sizeof expected);
  OK(got);
  expected[got] = 0;
  snprintf(text, sizeof text, "%s/dir/two", top);
  IS(strcmp(expected, text) == 0);
  OK(stat(path, &a));
  OK(fstat(fd, &b));
  IS(a.st_size == b.st_size);
  int again = open(path, O_RDWR);
  OK(again);
  IS(write(again, "TWO", 3) == 3);
  close_ok(again);
  close_ok(fd);
  IS(strcmp(content("dir/two"), "TWO") == 0);
  // Locks and mappings
  OK(fd = open("dir/two", O_RDWR));
  OK(flock(fd, LOCK_EX));
  OK(again = open("dir/two", O_RDWR));
  ERR(flock(again, LOCK_EX | LOCK_NB), EWOULDBLOCK);
  OK(flock(fd, LOCK_UN));
  OK(flock(again, LOCK_EX | LOCK_NB));
  char* memory = mmap(NULL, 3, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  IS(memory != MAP_FAILED);
  memory[0] = 't';
  IS(pread(again, text, 3, 0) == 3 && memcmp(text, "tWO", 3) == 0);
  close_ok(again);
  close_ok(fd);
  IS(strcmp(content("dir/two"), "tWO") == 0);
  // A socket by path
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strcpy(address.sun_path, "socket");
  int server = socket(AF_UNIX, SOCK_STREAM, 0);
  OK(server);
  OK(bind(server, (struct sockaddr*)&address, sizeof address));
  OK(lstat("socket", &a));
  IS(S_ISSOCK(a.st_mode));
  OK(listen(server, 1));
  int client = socket(AF_UNIX, SOCK_STREAM, 0);
  OK(client);
  ERR(open("socket", O_RDONLY), ENXIO);
  OK(connect(client, (struct sockaddr*)&address, sizeof address));
  int accepted = accept(server, NULL, NULL);
  OK(accepted);
  IS(write(client, "hello", 5) == 5 && read(accepted, text, 5) == 5);
  struct sockaddr_un name;
  socklen_t size = sizeof name;
  OK(getsockname(server, (struct sockaddr*)&name, &size));
  IS(strcmp(name.sun_path, "socket") == 0);
  size = sizeof name;
  OK(getpeername(client, (struct sockaddr*)&name, &size));
  IS(strcmp(name.sun_path, "socket") == 0);
  close_ok(accepted);
  close_ok(client);
  int other = socket(AF_UNIX, SOCK_STREAM, 0);
  ERR(bind(other, (struct sockaddr*)&address, sizeof address), EADDRINUSE);
  close_ok(server);
  ERR(connect(other, (struct sockaddr*)&address, sizeof address), ECONNREFUSED);
  OK(unlink("socket"));
  ERR(connect(other, (struct sockaddr*)&address, sizeof address), ENOENT);
  close_ok(other);
  // Watches
  int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  OK(watch);
  OK(inotify_add_watch(watch, "dir", IN_CREATE | IN_DELETE | IN_MOVED_TO));
  ERR(inotify_add_watch(watch, "missing", IN_CREATE), ENOENT);
  put("dir/watched", "x");
  alignas(struct inotify_event) char events[4096];
  got = read(watch, events, sizeof events);
  OK(got);
  const struct inotify_event* event = (const void*)events;
  IS((event->mask & IN_CREATE) != 0 && strcmp(event->name, "watched") == 0);
  OK(unlink("dir/watched"));
  close_ok(watch);
}

static void programs(void) {
  int out[2];
  OK(pipe(out));
  pid_t child = guest_fork();
  if (child == 0) {
    dup2(out[1], 1);
    execl("./script", "script", "argument", (char*)NULL);
    _exit(127);
  }
  close(out[1]);
  IS(read_fd(out[0], text, sizeof text) > 0);
  close_ok(out[0]);
  REAP(child);
  IS(strcmp(text, "./script argument\n") == 0);
  put("not_executable", "#!/bin/sh\n");
  child = guest_fork();
  if (child == 0) {
    execl("./not_executable", "x", (char*)NULL);
    _exit(errno == EACCES ? 0 : 1);
  }
  REAP(child);
  copy_file("/proc/self/exe", "copy", 0755);
  child = guest_fork();
  if (child == 0) {
    execl("./copy", "copy", "--child", (char*)NULL);
    _exit(127);
  }
  REAP(child);
}

static int as_child(void) {
  char path[PATH_MAX];
  ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);
  CHECK(size > 0);
  path[size] = 0;
  CHECK(strcmp(strrchr(path, '/'), "/copy") == 0);
  CHECK(read_file("/proc/self/comm", path, sizeof path) > 0 && strcmp(path, "copy\n") == 0);
  return 0;
}

int main(int argc, char** argv) {
  guest_begin();
  if (argc == 2 && strcmp(argv[1], "--child") == 0) {
    return as_child();
  }
  char top[PATH_MAX];
  if (argc == 2 && strcmp(argv[1], "--make") == 0) {
    make_tree();
    return guest_pass();
  }
  if (argc == 2) {
    OK(chdir(argv[1]));
  } else {
    make_tree();
  }
  CHECK(getcwd(top, sizeof top) != NULL);
  resolution(top);
  opening();
  names();
  attributes();
  directories(top);
  descriptors(top);
  programs();
  printf("%d checks\n", checks);
  return guest_pass();
}
