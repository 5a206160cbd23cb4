// exec that fails, with each errno; the caller goes on unharmed, its threads too.
#include <sys/mman.h>

#include "guest.h"

static struct gate ready, done;

static void* bystander(void* unused) {
  gate_open(&ready);
  gate_wait(&done);
  return unused;
}

static int run(const char* path) {
  char* arguments[] = {"zero", NULL};
  char* environment[] = {NULL};
  return execve(path, arguments, environment);
}

int main(void) {
  guest_begin();
  ready = gate_make();
  done = gate_make();
  pthread_t thread = guest_thread(bystander, NULL);
  gate_wait(&ready);
  pid_t self = getpid();

  CHECK_ERRNO(run("/nonexistent"), ENOENT);
  CHECK_ERRNO(run(""), ENOENT);
  CHECK_ERRNO(run("/etc/passwd/x"), ENOTDIR);
  CHECK_ERRNO(run("/etc/passwd"), EACCES);
  CHECK_ERRNO(run("/"), EACCES);
  CHECK_ERRNO(run((char*)8), EFAULT);
  write_file("data", "just text\n", 0755);
  CHECK_ERRNO(run("./data"), ENOEXEC);
  write_file("elf", "\177ELF but not really", 0755);
  CHECK_ERRNO(run("./elf"), ENOEXEC);
  SYS(symlink("loop", "loop"));
  CHECK_ERRNO(run("./loop"), ELOOP);
  static char longer[PATH_MAX + 10];
  memset(longer, 'x', sizeof longer - 1);
  CHECK_ERRNO(run(longer), ENAMETOOLONG);
  longer[300] = '\0';
  CHECK_ERRNO(run(longer), ENAMETOOLONG);
  SYS(mkfifo("fifo", 0755));
  CHECK_ERRNO(run("./fifo"), EACCES);
  SYS(mkdir("closed", 0755));
  copy_file("/bin/true", "closed/true", 0755);
  SYS(chmod("closed/true", 0644));
  CHECK_ERRNO(run("closed/true"), EACCES);

  // One string above 128 KiB.
  static char huge[200 * 1024];
  memset(huge, 'y', sizeof huge - 1);
  char* arguments[] = {"true", huge, NULL};
  char* none[] = {NULL};
  CHECK_ERRNO(execve("/bin/true", arguments, none), E2BIG);
  CHECK_ERRNO(execve("/bin/true", none, arguments), E2BIG);
  CHECK_ERRNO(syscall(SYS_execve, "/bin/true", 8, none), EFAULT);
  char* wild[] = {"true", (char*)8, NULL};
  CHECK_ERRNO(execve("/bin/true", wild, none), EFAULT);

  // A file that is open for writing.
  copy_file("/bin/true", "busy", 0755);
  int fd = SYS(open("busy", O_WRONLY));
  CHECK_ERRNO(run("./busy"), ETXTBSY);
  SYS(close(fd));

  CHECK_EQ(raw_getpid(), self);
  CHECK_EQ(status_field("/proc/self/status", "Threads"), 2);
  gate_open(&done);
  guest_join(thread);
  return guest_pass();
}
