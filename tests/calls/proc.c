// Files of /proc: how they can be opened, what they look like, and what about processes that have ended.
#include <dirent.h>
#include <sys/vfs.h>

#include "calls.h"

static pid_t self, child, dead, zombie;

// The result, or the negative errno.
#define E(call)                             \
  ({                                        \
    errno = 0;                              \
    long result_ = (long)(call);            \
    result_ == -1 ? -(long)errno : result_; \
  })

static void each(const char* base, const char* name) {
  char path[256];
  snprintf(path, sizeof path, "%s/%s", base, name);
  const char* short_name = name;
  static const int flags[] = {O_RDONLY,
                              O_WRONLY,
                              O_RDWR,
                              O_RDONLY | O_DIRECTORY,
                              O_RDONLY | O_NOFOLLOW,
                              O_PATH,
                              O_RDONLY | O_CREAT,
                              O_RDONLY | O_CREAT | O_EXCL,
                              O_RDONLY | O_TRUNC,
                              O_RDONLY | O_NONBLOCK,
                              O_RDONLY | O_DIRECT,
                              O_TMPFILE | O_RDWR,
                              O_PATH | O_NOFOLLOW,
                              O_RDONLY | O_APPEND,
                              O_WRONLY | O_TRUNC,
                              3};
  for (unsigned i = 0; i < sizeof flags / sizeof *flags; ++i) {
    errno = 0;
    int fd = open(path, flags[i], 0600);
    int error = errno;
    struct stat status;
    char byte[64];
    memset(&status, 0, sizeof status);
    printf("open %s %#o = %s %s", short_name, flags[i], fd < 0 ? "-1" : "open", fd < 0 ? strerrorname_np(error) : "");
    if (fd >= 0) {
      fstat(fd, &status);
      printf(" type %#o", status.st_mode & S_IFMT);
      errno = 0;
      ssize_t got = read(fd, byte, sizeof byte);
      printf(" read %s %d", got < 0 ? "-1" : got == 0 ? "0" : "some", errno);
      printf(" lseek %ld", E(lseek(fd, 0, SEEK_SET)));
      printf(" pread %ld", E(pread(fd, byte, 1, 0)));
      printf(" bad %ld", E(pread(fd, BAD, 1, 0)));
      if ((flags[i] & O_ACCMODE) == O_RDONLY) {
        printf(" write %ld", E(write(fd, "x", 1)));
      }
      printf(" flags %#o", fcntl(fd, F_GETFL) & ~(O_NOFOLLOW | O_DIRECTORY));
      printf(" truncate %ld", E(ftruncate(fd, 0)));
      struct statfs system;
      memset(&system, 0, sizeof system);
      printf(" statfs %ld", E(fstatfs(fd, &system)));
      printf(" %#lx", (long)system.f_type);
      close(fd);
    }
    printf("\n");
  }
  struct stat status;
  memset(&status, 0, sizeof status);
  int failed = lstat(path, &status);
  printf("lstat %s = %d mode %#o own %d size %ld blocks %ld links %d\n", short_name, failed, status.st_mode,
         status.st_uid == getuid(), S_ISREG(status.st_mode) ? (long)status.st_size : 0L, (long)status.st_blocks,
         S_ISDIR(status.st_mode) ? 0 : (int)status.st_nlink);
  printf("access %d %d %d\n", access(path, R_OK), access(path, W_OK), access(path, X_OK));
  char target[64];
  ssize_t length = E(readlink(path, target, sizeof target));
  printf("readlink %ld\n", length > 0 ? 1 : (long)length);
}

static const char* const kNames[] = {"stat",
                                     "status",
                                     "statm",
                                     "cmdline",
                                     "comm",
                                     "maps",
                                     "limits",
                                     "io",
                                     "environ",
                                     "auxv",
                                     "wchan",
                                     "cgroup",
                                     "mountinfo",
                                     "oom_score_adj",
                                     "task",
                                     "fd",
                                     "fdinfo",
                                     "ns",
                                     "cwd",
                                     "root",
                                     "exe",
                                     "fd/0",
                                     "ns/pid",
                                     "personality",
                                     "schedstat",
                                     "syscall",
                                     "smaps",
                                     "pagemap",
                                     "loginuid",
                                     "net",
                                     "attr",
                                     "map_files",
                                     "missing",
                                     ".",
                                     "..",
                                     "stat/x",
                                     "setgroups",
                                     "uid_map",
                                     "coredump_filter",
                                     "timerslack_ns",
                                     "patch_state",
                                     "arch_status"};

static void ended(pid_t pid, const char* who) {
  char path[64], text[4096];
  for (unsigned i = 0; i < sizeof kNames / sizeof *kNames; ++i) {
    snprintf(path, sizeof path, "/proc/%d/%s", pid, kNames[i]);
    errno = 0;
    int fd = open(path, O_RDONLY);
    int error = errno;
    errno = 0;
    ssize_t got = fd < 0 ? 0 : read(fd, text, sizeof text);
    printf("%s %s: open %d %d read %s %d\n", who, kNames[i], fd < 0 ? -1 : 0, error,
           got < 0    ? "-1"
           : got == 0 ? "0"
                      : "some",
           errno);
    if (fd >= 0) {
      close(fd);
    }
    struct stat status;
    printf("  stat %ld", E(stat(path, &status)));
    long length = E(readlink(path, text, sizeof text));
    printf(" readlink %ld\n", length > 0 ? 1 : length);
  }
}

int main(void) {
  transcript_begin();
  if (getuid() == 0) {
    printf("root may open what Beam opens for reading only\n");
    return 0;
  }
  (void)!freopen("/dev/null", "r", stdin);
  self = getpid();
  dead = fork();
  if (dead == 0) {
    _exit(0);
  }
  waitpid(dead, NULL, 0);
  child = fork();
  if (child == 0) {
    for (;;) {
      pause();
    }
  }
  zombie = fork();
  if (zombie == 0) {
    _exit(0);
  }
  siginfo_t info;
  waitid(P_PID, (id_t)zombie, &info, WEXITED | WNOWAIT);
  char base[64];
  for (unsigned i = 0; i < sizeof kNames / sizeof *kNames; ++i) {
    if (strcmp(kNames[i], "..") == 0) {
      continue;
    }
    printf("self\n");
    each("/proc/self", kNames[i]);
    printf("child\n");
    snprintf(base, sizeof base, "/proc/%d", child);
    each(base, kNames[i]);
  }
  ended(dead, "dead");
  ended(zombie, "zombie");
  ended(kNobody, "nobody");
  T(open("/proc/self/task/1/stat", O_RDONLY) >= 0 && self != 1);
  T(open("/proc/0", O_RDONLY));
  T(open("/proc/-1", O_RDONLY));
  T(open("/proc/00001", O_RDONLY));
  T(open("/proc/99999999999", O_RDONLY));
  T(open("/proc/new", O_RDWR | O_CREAT, 0600));
  T(mkdir("/proc/new", 0700));
  T(rmdir("/proc/self"));
  T(unlink("/proc/self"));
  T(rename("/proc/self", "/proc/other"));
  T(link("/proc/self/stat", "here"));
  T(symlink("x", "/proc/link"));
  T(mknod("/proc/node", S_IFREG | 0600, 0));
  T(chdir("/proc/self/stat"));
  T(chdir("/proc/self"));
  char here[64];
  T(getcwd(here, 3));
  T(getcwd(NONE, 0) != NONE);
  T(syscall(SYS_getcwd, BAD, 64));
  T(chdir("/proc/self/cwd"));
  T(open("stat", O_RDONLY) >= 0);
  T(open("./status", O_WRONLY));
  T(access("fd", R_OK));
  T(chdir("task"));
  T(chdir(".."));
  T(syscall(SYS_stat, "/proc/self/stat", BAD));
  T(syscall(SYS_stat, "/proc/self/stat", readable));
  T(syscall(SYS_lstat, "/proc/self", BAD));
  T(syscall(SYS_newfstatat, AT_FDCWD, "/proc/self/stat", BAD, 0));
  T(syscall(SYS_newfstatat, AT_FDCWD, "/proc/self/stat", writable, 0x8000000));
  T(syscall(SYS_statx, AT_FDCWD, "/proc/self/stat", 0, 0, BAD));
  T(syscall(SYS_statx, AT_FDCWD, "/proc/self/stat", 0x8000000, 0, writable));
  T(syscall(SYS_statx, AT_FDCWD, "/proc/self/stat", 0, 0x80000000, writable));
  T(syscall(SYS_readlink, "/proc/self", BAD, 10));
  T(syscall(SYS_readlink, "/proc/self", writable, 0));
  T(syscall(SYS_readlink, "/proc/self", writable, -1));
  T(syscall(SYS_readlink, "/proc/self/exe", BAD, 10));
  T(syscall(SYS_readlink, "/proc/self/exe", writable, 3));
  T(syscall(SYS_faccessat2, AT_FDCWD, "/proc/self/stat", R_OK, 0x8000));
  T(syscall(SYS_faccessat2, AT_FDCWD, "/proc/self/stat", 99, 0));
  T(syscall(SYS_access, "/proc/self/stat", 99));
  T(syscall(SYS_statfs, "/proc/self/stat", BAD));
  kill(child, SIGKILL);
  return 0;
}
