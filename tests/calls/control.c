// What a process asks and changes of itself: prctl(2), personality(2), uname(2), limits, filters of its own.
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include "calls.h"

static void options(void) {
  // Each with nothing, with a small number and with a bad pointer; but for those that would end or blind this program.
  for (int option = -1; option < 85; ++option) {
    if (option == PR_SET_SECCOMP || option == PR_SET_PDEATHSIG || option == PR_SET_NO_NEW_PRIVS ||
        option == PR_SET_NAME || option == PR_SET_MM || option == PR_SET_TSC || option == PR_GET_TIMERSLACK ||
        option == PR_SET_TIMERSLACK || option == PR_SET_DUMPABLE || option == PR_SET_SYSCALL_USER_DISPATCH ||
        option == PR_GET_TID_ADDRESS) {
      continue;
    }
    printf("option %d\n", option);
    T(prctl(option, 0, 0, 0, 0));
    T(prctl(option, 8, 0, 0, 0));
    T(prctl(option, -1, -1, -1, -1));
    T(prctl(option, 0, 1, 1, 1));
  }
  T(prctl(PR_SET_NAME, BAD));
  T(prctl(PR_GET_NAME, BAD));
  T(prctl(PR_SET_DUMPABLE, 2));
  T(prctl(PR_SET_DUMPABLE, -1));
  T(prctl(PR_GET_DUMPABLE));
  T(prctl(PR_SET_DUMPABLE, 0));
  T(prctl(PR_GET_DUMPABLE));
  T(prctl(PR_SET_DUMPABLE, 1));
  T(prctl(PR_GET_DUMPABLE));
  T(prctl(PR_SET_PDEATHSIG, 65));
  T(prctl(PR_SET_PDEATHSIG, -1));
  T(prctl(PR_SET_PTRACER, 0));
  T(prctl(PR_SET_PTRACER, getpid()));
  T(prctl(PR_SET_PTRACER, getppid()));
  T(prctl(PR_SET_PTRACER, kNobody));
  T(prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY));
  T(prctl(PR_SET_MM, 0, 0, 0, 0));
  T(prctl(PR_SET_MM, PR_SET_MM_START_CODE, 0, 0, 0));
  T(prctl(PR_SET_MM, 99, 0, 0, 0));
}

static int privileges_line(void) {
  char text[8192] = "";
  int fd = open("/proc/self/status", O_RDONLY);
  (void)!read(fd, text, sizeof text - 1);
  close(fd);
  const char* at = strstr(text, "NoNewPrivs:");
  return at ? atoi(at + 11) : -1;
}

static int mode_line(void) {
  char text[8192] = "";
  int fd = open("/proc/self/status", O_RDONLY);
  (void)!read(fd, text, sizeof text - 1);
  close(fd);
  const char* at = strstr(text, "\nSeccomp:");
  return at ? atoi(at + 9) : -1;
}

static void filters(void) {
  struct sock_filter allow[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  struct sock_fprog program = {1, allow}, none = {0, allow}, nowhere = {1, BAD}, large = {5000, allow};
  struct sock_filter wrong[] = {BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0)};
  struct sock_fprog bad = {1, wrong};
  V(privileges_line());
  V(mode_line());
  T(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
  T(prctl(PR_GET_NO_NEW_PRIVS, 1, 0, 0, 0));
  T(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
  T(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
  T(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &none));
  T(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &large));
  T(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &nowhere));
  T(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NONE));
  T(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, BAD));
  T(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0x1000, &program));
  T(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &program));
  T(syscall(SYS_landlock_restrict_self, -1, 0));
  T(syscall(SYS_landlock_restrict_self, -1, 0x1000));
  T(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
  T(prctl(PR_SET_NO_NEW_PRIVS, 2, 0, 0, 0));
  T(prctl(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0));
  T(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 1));
  pid_t child = fork();
  if (child == 0) {
    T(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    T(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    V(privileges_line());
    pid_t grandchild = fork();
    if (grandchild == 0) {
      T(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
      V(privileges_line());
      _exit(0);
    }
    waitpid(grandchild, NULL, 0);
    T(syscall(SYS_landlock_restrict_self, -1, 0));
    T(syscall(SYS_landlock_restrict_self, -1, 0x1000));
    T(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &none));
    T(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &large));
    T(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &nowhere));
    T(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &bad));
    T(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NONE));
    T(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0x1000, &program));
    T(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 1, NONE));
    T(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, &program));
    T(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_LOG, &program));
    T(prctl(PR_GET_SECCOMP, 0, 0, 0, 0));
    V(mode_line());
    T(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, NONE));
    T(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT));
    T(prctl(PR_SET_SECCOMP, 7));
    T(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
    T(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NONE));
    T(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, BAD));
    _exit(0);
  }
  waitpid(child, NULL, 0);
  T(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
  V(privileges_line());
  T(prctl(PR_GET_SECCOMP, 0, 0, 0, 0));
  T(prctl(PR_SET_SECCOMP, 7));
  T(prctl(PR_SET_SECCOMP, 0));
  for (unsigned operation = 0; operation < 5; ++operation) {
    unsigned action = SECCOMP_RET_TRAP;
    if (operation != SECCOMP_SET_MODE_STRICT) {
      T(syscall(SYS_seccomp, operation, 0, NONE));
      T(syscall(SYS_seccomp, operation, 1, NONE));
      T(syscall(SYS_seccomp, operation, 0, BAD));
    }
    if (operation >= SECCOMP_GET_ACTION_AVAIL) {
      T(syscall(SYS_seccomp, operation, 0, &action));
    }
  }
  static const unsigned actions[] = {SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP,
                                     SECCOMP_RET_ERRNO,        SECCOMP_RET_USER_NOTIF,  SECCOMP_RET_TRACE,
                                     SECCOMP_RET_LOG,          SECCOMP_RET_ALLOW,       0x12345678};
  for (unsigned i = 0; i < sizeof actions / sizeof *actions; ++i) {
    T(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &actions[i]));
  }
  child = fork();
  if (child == 0) {
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
    syscall(SYS_getpid);
    syscall(SYS_exit, 0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  V(status & ~0x80);
}

static void names(void) {
  struct utsname names, other;
  T(uname(&names));
  T(syscall(SYS_uname, NONE));
  T(syscall(SYS_uname, BAD));
  T(syscall(SYS_uname, readable));
  T(syscall(SYS_uname, tail(sizeof names)));
  T(syscall(SYS_uname, tail(100)));
  printf("%s %s %s %s %s %s\n", names.sysname, names.nodename, names.release, names.version, names.machine,
         names.domainname);
  T(personality(PER_LINUX | UNAME26));
  uname(&other);
  printf("%s %s\n", other.release, other.machine);
  T(personality(PER_LINUX32));
  uname(&other);
  printf("%s %s\n", other.release, other.machine);
  T(personality(PER_LINUX));
  uname(&other);
  V(memcmp(&other, &names, sizeof names));
  T(personality(0xffffffff));
  if (getuid() != 0) {
    T(syscall(SYS_sethostname, "x", 1));
    T(syscall(SYS_sethostname, BAD, 1));
    T(syscall(SYS_sethostname, "x", 65));
    T(syscall(SYS_sethostname, "x", (size_t)-1));
    T(syscall(SYS_setdomainname, "x", 1));
    T(syscall(SYS_setdomainname, BAD, 1));
  } else {
    T(syscall(SYS_sethostname, BAD, 1));
    T(syscall(SYS_sethostname, "x", 65));
    T(syscall(SYS_sethostname, "x", (size_t)-1));
    T(syscall(SYS_setdomainname, BAD, 1));
    T(syscall(SYS_setdomainname, "x", 65));
  }
  char host[256];
  T(gethostname(host, sizeof host));
  T(gethostname(host, 1));
  struct sysinfo info;
  T(sysinfo(&info));
  V(info.mem_unit);
  V(info.uptime > 0);
  V(info.procs > 0);
  T(syscall(SYS_sysinfo, NONE));
  T(syscall(SYS_sysinfo, BAD));
  T(syscall(SYS_sysinfo, readable));
  unsigned cpu, node;
  T(syscall(SYS_getcpu, &cpu, &node, NONE));
  T(syscall(SYS_getcpu, BAD, &node, NONE));
  T(syscall(SYS_getcpu, &cpu, BAD, NONE));
}

static void others(void) {
  T(syscall(SYS_set_robust_list, NONE, 23));
  T(syscall(SYS_set_robust_list, NONE, 25));
  IS(syscall(SYS_set_tid_address, NONE), getpid());
  IS(syscall(SYS_set_tid_address, BAD), getpid());
  struct rusage usage;
  T(getrusage(RUSAGE_SELF, &usage));
  T(getrusage(RUSAGE_CHILDREN, BAD));
  T(getrusage(RUSAGE_THREAD, &usage));
  T(getrusage(7, &usage));
  for (int command = -1; command < 1 << 11; command = command <= 0 ? command + 1 : command * 2) {
    printf("membarrier(%d) = ", command);
    long result = syscall(SYS_membarrier, command, 0, 0);
    printf("%ld\n", result > 0 ? 1 : result);
  }
  T(syscall(SYS_membarrier, 0, 1, 0));
  T(syscall(SYS_rseq, NONE, 0, 0, 0));
  T(syscall(SYS_rseq, NONE, 32, 1, 0));
  T(syscall(SYS_arch_prctl, 0x1002, 0xffff800000000000));
  T(syscall(SYS_arch_prctl, 0x1003, BAD));
  T(syscall(SYS_arch_prctl, 0x7777, 0));
  T(syscall(SYS_landlock_create_ruleset, NONE, 0, LANDLOCK_CREATE_RULESET_VERSION));
  T(syscall(SYS_landlock_create_ruleset, NONE, 0, 0));
  T(syscall(SYS_landlock_add_rule, -1, 1, NONE, 0));
  T(syscall(400 + 200));
  T(syscall(SYS_getpid | 0x40000000));
  T(syscall(511));
  T(syscall(512));
  T(syscall(-5));
}

int main(void) {
  transcript_begin();
  names();
  filters();
  others();
  options();
  return 0;
}
