// Every path call sees the same /proc: stat, lstat, statx, access, faccessat2, readlink, open with O_PATH, opendir,
// xattr.
#include <dirent.h>
#include <sys/statfs.h>
#include <sys/xattr.h>

#include "guest.h"

int main(void) {
  guest_begin();
  pid_t nobody = 0x3ffffff;
  char good[64], bad[64], inner[64];
  snprintf(good, sizeof good, "/proc/%d", getpid());
  snprintf(inner, sizeof inner, "/proc/%d/stat", getpid());
  snprintf(bad, sizeof bad, "/proc/%d", nobody);
  struct stat status;
  SYS(stat(good, &status));
  CHECK(S_ISDIR(status.st_mode));
  CHECK_EQ(status.st_uid, geteuid());
  SYS(lstat(good, &status));
  SYS(stat(inner, &status));
  CHECK(S_ISREG(status.st_mode));
  CHECK_EQ(status.st_size, 0);
  struct statx extended;
  SYS(statx(AT_FDCWD, good, 0, STATX_BASIC_STATS, &extended));
  SYS(access(inner, R_OK));
  SYS(syscall(SYS_faccessat2, AT_FDCWD, inner, R_OK, 0));
  SYS(close(SYS(open(good, O_PATH))));
  DIR* directory = opendir(good);
  CHECK(directory);
  closedir(directory);
  struct statfs system;
  SYS(statfs(good, &system));
  CHECK_EQ(system.f_type, 0x9fa0);
  char value[64];
  CHECK_ERRNO(getxattr(good, "user.none", value, sizeof value), EOPNOTSUPP);

  CHECK_ERRNO(stat(bad, &status), ENOENT);
  CHECK_ERRNO(lstat(bad, &status), ENOENT);
  CHECK_ERRNO(statx(AT_FDCWD, bad, 0, STATX_BASIC_STATS, &extended), ENOENT);
  CHECK_ERRNO(access(bad, F_OK), ENOENT);
  CHECK_ERRNO(open(bad, O_PATH), ENOENT);
  CHECK_ERRNO(open(bad, O_RDONLY), ENOENT);
  CHECK_ERRNO(chdir(bad), ENOENT);
  CHECK_ERRNO(readlink(bad, value, sizeof value), ENOENT);
  CHECK_ERRNO(readlink(good, value, sizeof value), EINVAL);
  CHECK_ERRNO(statfs(bad, &system), ENOENT);
  CHECK_ERRNO(getxattr(bad, "user.none", value, sizeof value), ENOENT);
  CHECK_ERRNO(execl(bad, "x", (char*)NULL), ENOENT);
  CHECK_ERRNO(execl(good, "x", (char*)NULL), EACCES);

  // Nothing can be made or removed there.
  CHECK_ERRNO(mkdir("/proc/directory", 0700), ENOENT);
  CHECK_ERRNO(open("/proc/file", O_CREAT | O_WRONLY, 0600), ENOENT);
  CHECK(rmdir(good) == -1 && (errno == EPERM || errno == EACCES || errno == ENOTEMPTY));
  CHECK(rename(good, "/proc/other") == -1);
  CHECK_ERRNO(open(inner, O_RDONLY | O_DIRECTORY), ENOTDIR);
  // Numbers that only look like ones.
  const char* const odd[] = {"/proc/0", "/proc/01", "/proc/+1", "/proc/-1", "/proc/1x", "/proc/4294967297", "/proc/ 1"};
  for (unsigned i = 0; i < sizeof odd / sizeof odd[0]; ++i) {
    if (stat(odd[i], &status) != -1 || errno != ENOENT) {
      FAIL("stat(%s): expected ENOENT", odd[i]);
    }
  }
  // The general files are there.
  const char* const files[] = {"/proc/meminfo",
                               "/proc/cpuinfo",
                               "/proc/stat",
                               "/proc/uptime",
                               "/proc/loadavg",
                               "/proc/version",
                               "/proc/mounts",
                               "/proc/filesystems",
                               "/proc/self/maps",
                               "/proc/self/mountinfo",
                               "/proc/self/smaps",
                               "/proc/self/cgroup",
                               "/proc/self/oom_score_adj",
                               "/proc/self/limits",
                               "/proc/sys/kernel/pid_max",
                               "/proc/sys/kernel/osrelease",
                               "/proc/self/statm"};
  for (unsigned i = 0; i < sizeof files / sizeof files[0]; ++i) {
    static char text[1 << 18];
    if (read_file(files[i], text, sizeof text) <= 0) {
      FAIL("%s: errno %d", files[i], errno);
    }
  }
  return guest_pass();
}
