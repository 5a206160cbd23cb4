// Executing: what the kernel refuses and why, scripts, descriptors, argument lists.
#include "calls.h"

static char* const kArguments[] = {"name", NULL};

static void make(const char* path, const char* text, mode_t mode) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0700);
  (void)!write(fd, text, strlen(text));
  fchmod(fd, mode);
  close(fd);
}

// In a child; what it exits with, or the errno of the call.
#define RUN(call)                                            \
  do {                                                       \
    pid_t child_ = fork();                                   \
    if (child_ == 0) {                                       \
      (void)(call);                                          \
      printf("%s = -1 %s\n", #call, strerrorname_np(errno)); \
      _exit(99);                                             \
    }                                                        \
    int status_ = 0;                                         \
    waitpid(child_, &status_, 0);                            \
    printf("%s: status %#x\n", #call, status_);              \
  } while (0)

int main(int argc, char** argv) {
  transcript_begin();
  if (argc > 1) {
    printf("argc %d, last %.20s, length %zu\n", argc, argv[argc - 1], strlen(argv[argc - 1]));
    return 5;
  }
  char self[4096];
  ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
  self[length] = 0;
  make("plain", "echo plain \"$@\"\nexit 3\n", 0700);
  make("script", "#!/bin/sh\necho script \"$@\"\nexit 4\n", 0700);
  make("script2", "#!./script word\n", 0700);
  make("script3", "#!./script2\n", 0700);
  make("script4", "#!./script3\n", 0700);
  make("script5", "#!./script4\n", 0700);
  make("script6", "#!./script5\n", 0700);
  make("loop", "#!./loop\n", 0700);
  make("nobody", "#!/nowhere/at/all\n", 0700);
  make("empty", "", 0700);
  make("bang", "#!\n", 0700);
  make("spaces", "#!   /bin/echo    a b  \n", 0700);
  make("unending", "#!/bin/echo", 0700);
  make("garbage", "\177ELF garbage that is no program", 0700);
  make("locked", "#!/bin/sh\n", 0600);
  char longline[600] = "#!/bin/echo ";
  memset(longline + 12, 'x', 580);
  make("long", longline, 0700);
  char deep[400] = "#!/";
  memset(deep + 3, 'd', 390);
  make("deep", deep, 0700);
  mkdir("folder", 0700);
  mkdir("shut", 0600);
  (void)!symlink("script", "link");
  (void)!symlink("around", "around");
  (void)!symlink("/nowhere/at/all", "broken");
  char* environment[] = {"A=b", NULL};
  static const char* const paths[] = {"plain",  "script", "script2", "script3",  "script4",  "script5",  "script6",
                                      "loop",   "nobody", "empty",   "bang",     "spaces",   "unending", "garbage",
                                      "locked", "long",   "deep",    "folder",   "shut/x",   "link",     "around",
                                      "broken", "",       "missing", "script/x", "/bin/true"};
  for (unsigned i = 0; i < sizeof paths / sizeof *paths; ++i) {
    printf("path %s\n", paths[i]);
    RUN(execve(paths[i], kArguments, environment));
    int fd = open(paths[i], O_PATH);
    int closing = open(paths[i], O_RDONLY | O_CLOEXEC);
    RUN(syscall(SYS_execveat, fd, "", kArguments, environment, AT_EMPTY_PATH));
    RUN(syscall(SYS_execveat, closing, "", kArguments, environment, AT_EMPTY_PATH));
    RUN(syscall(SYS_execveat, AT_FDCWD, paths[i], kArguments, environment, AT_SYMLINK_NOFOLLOW));
    RUN(syscall(SYS_execveat, 9999, paths[i], kArguments, environment, 0));
    if (fd >= 0) {
      close(fd);
    }
    if (closing >= 0) {
      close(closing);
    }
  }
  RUN(syscall(SYS_execve, NONE, kArguments, environment));
  RUN(syscall(SYS_execve, BAD, kArguments, environment));
  RUN(syscall(SYS_execve, "/bin/true", BAD, environment));
  RUN(syscall(SYS_execve, "/bin/true", kArguments, BAD));
  RUN(syscall(SYS_execve, "/bin/true", NONE, NONE));
  RUN(syscall(SYS_execve, "missing", BAD, BAD));
  char* bad_string[] = {"name", BAD, NULL};
  RUN(execve("/bin/true", bad_string, environment));
  RUN(execve("/bin/true", kArguments, bad_string));
  char name[5000];
  memset(name, 'n', sizeof name - 1);
  name[4999] = 0;
  RUN(execve(name, kArguments, environment));
  name[300] = 0;
  RUN(execve(name, kArguments, environment));
  RUN(syscall(SYS_execveat, AT_FDCWD, "", kArguments, environment, 0));
  RUN(syscall(SYS_execveat, AT_FDCWD, "", kArguments, environment, AT_EMPTY_PATH));
  RUN(syscall(SYS_execveat, AT_FDCWD, "/bin/true", kArguments, environment, 1));
  RUN(syscall(SYS_execveat, AT_FDCWD, "/bin/true", kArguments, environment, -1));
  RUN(syscall(SYS_execveat, -1, "/bin/true", kArguments, environment, 0));
  RUN(syscall(SYS_execveat, -1, BAD, kArguments, environment, 0));
  int folder = open("folder", O_RDONLY | O_DIRECTORY);
  RUN(syscall(SYS_execveat, folder, "../script", kArguments, environment, 0));
  RUN(syscall(SYS_execveat, folder, "", kArguments, environment, AT_EMPTY_PATH));
  int script = open("script", O_RDONLY);
  RUN(syscall(SYS_execveat, script, "x", kArguments, environment, 0));
  // A file that is open for writing can't be executed, and one that is executed can't be opened for writing.
  int in = open(self, O_RDONLY), out = open("copy", O_WRONLY | O_CREAT, 0700);
  char buffer[65536];
  ssize_t got;
  while ((got = read(in, buffer, sizeof buffer)) > 0) {
    (void)!write(out, buffer, (size_t)got);
  }
  char* one[] = {"copy", "argument", NULL};
  RUN(execve("./copy", one, environment));
  close(out);
  RUN(execve("./copy", one, environment));
  int ends[2], hold[2];
  (void)!pipe2(ends, O_CLOEXEC);
  (void)!pipe(hold);
  make("sleeper", "#!/bin/cat\n", 0700);
  int sleeper_in = open("/bin/cat", O_RDONLY), sleeper_out = open("cat", O_WRONLY | O_CREAT, 0700);
  while ((got = read(sleeper_in, buffer, sizeof buffer)) > 0) {
    (void)!write(sleeper_out, buffer, (size_t)got);
  }
  close(sleeper_out);
  pid_t sleeper = fork();
  if (sleeper == 0) {
    dup2(hold[0], 0);
    close(hold[1]);
    execl("./cat", "cat", NULL);
    _exit(1);
  }
  close(ends[1]);
  char byte;
  (void)!read(ends[0], &byte, 1);
  T(open("cat", O_WRONLY));
  T(truncate("cat", 0));
  close(hold[1]);
  waitpid(sleeper, NULL, 0);
  OK(open("cat", O_WRONLY));
  // Long lists.
  static char big[200000];
  memset(big, 'b', sizeof big - 1);
  char* with_big[] = {"copy", big, NULL};
  RUN(execve("./copy", with_big, environment));
  big[131071] = 0;
  RUN(execve("./copy", with_big, environment));
  big[131070] = 0;
  RUN(execve("./copy", with_big, environment));
  static char* many[300002];
  for (int i = 0; i < 300001; ++i) {
    many[i] = "0123456789";
  }
  RUN(execve("./copy", many, environment));
  many[1000] = NULL;
  RUN(execve("./copy", many, environment));
  RUN(execve("./script", many, environment));
  return 0;
}
