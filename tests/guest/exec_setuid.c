// A setuid program runs; natively with its owner's id, in a sandbox without any gain.
#include <sys/auxv.h>

#include "guest.h"

int main(int argc, char** argv) {
  guest_begin();
  if (argc == 2) {
    if (under_beam()) {
      CHECK_EQ(geteuid(), getuid());
    } else if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0) {
      CHECK_EQ(geteuid(), atoi(argv[1]));
      CHECK_EQ(getauxval(AT_SECURE), geteuid() != getuid());
    }
    return 95;
  }
  // Owned by somebody else where that can be had, else a system's own setuid program has to do.
  copy_file("/proc/self/exe", "program", 0755);
  SYS(chmod(".", 0755));
  uid_t owner = getuid();
  if (getuid() == 0 && chown("program", 65534, 65534) == 0) {
    owner = 65534;
  }
  SYS(chmod("program", 04755));
  pid_t child = guest_fork();
  if (child == 0) {
    char uid[16];
    snprintf(uid, sizeof uid, "%d", (int)owner);
    execl("./program", argv[0], uid, (char*)NULL);
    FAIL("exec: errno %d", errno);
  }
  REAP_CODE(child, 95);
  struct stat stat_su;
  if (stat("/bin/su", &stat_su) != 0 || !(stat_su.st_mode & S_ISUID)) {
    FAIL("/bin/su is not a setuid program: install the Debian package util-linux");
  }
  child = guest_fork();
  if (child == 0) {
    int null = SYS(open("/dev/null", O_WRONLY));
    SYS(dup2(null, STDOUT_FILENO));
    execl("/bin/su", "su", "--help", (char*)NULL);
    _exit(127);
  }
  REAP(child);
  return guest_pass();
}
