// Arguments, environment and the auxiliary vector arrive as they were sent: empty strings, many, and 2 MiB of them.
#include <elf.h>
#include <sys/auxv.h>

#include "guest.h"

enum { kMany = 1000, kSize = 2000 };

int main(int argc, char** argv) {
  guest_begin();
  extern char** environ;
  if (argc > 1 && strcmp(argv[1], "few") == 0) {
    CHECK_EQ(argc, 4);
    CHECK_STR(argv[2], "");
    CHECK_STR(argv[3], "a\nb\tc\377");
    CHECK_STR(environ[0], "ONE=1");
    CHECK_STR((char*)getauxval(AT_EXECFN), "/proc/self/exe");
    CHECK_EQ(getauxval(AT_PAGESZ), 4096);
    CHECK_EQ(getauxval(AT_UID), getuid());
    CHECK_EQ(getauxval(AT_SECURE), 0);
    CHECK(getauxval(AT_RANDOM) != 0);
    CHECK(getauxval(AT_PHDR) != 0);
    CHECK(getauxval(AT_SYSINFO_EHDR) != 0);
    return 101;
  }
  if (argc == kMany) {
    for (int i = 1; i < kMany; ++i) {
      CHECK_EQ(strlen(argv[i]), kSize);
      CHECK_EQ((unsigned char)argv[i][0], 'a' + i % 26);
      CHECK_EQ((unsigned char)argv[i][kSize - 1], 'a' + i % 26);
    }
    return 102;
  }
  pid_t child = guest_fork();
  if (child == 0) {
    char* arguments[] = {argv[0], "few", "", "a\nb\tc\377", NULL};
    char* environment[] = {"ONE=1", "GUEST_CHILD=1", "EMPTY=", NULL};
    execve("/proc/self/exe", arguments, environment);
    FAIL("exec: errno %d", errno);
  }
  REAP_CODE(child, 101);
  child = guest_fork();
  if (child == 0) {
    static char* arguments[kMany + 1];
    arguments[0] = argv[0];
    for (int i = 1; i < kMany; ++i) {
      arguments[i] = malloc(kSize + 1);
      memset(arguments[i], 'a' + i % 26, kSize);
      arguments[i][kSize] = '\0';
    }
    execv("/proc/self/exe", arguments);
    FAIL("exec: errno %d", errno);
  }
  REAP_CODE(child, 102);
  return guest_pass();
}
