// A program whose own file has been removed, across a freeze.
#include "guest.h"

int main(int argc, char** argv) {
  guest_begin();
  if (argc == 1) {
    copy_file("/proc/self/exe", "program", 0700);
    pid_t child = guest_fork();
    if (child == 0) {
      execl("./program", "program", "gone", NULL);
      FAIL("exec: errno %d", errno);
    }
    REAP(child);
    return guest_pass();
  }
  (void)argv;
  SYS(unlink("program"));
  char link[4096] = {0};
  for (int round = 0; round < 2; ++round) {
    guest_fence();
    SYS(readlink("/proc/self/exe", link, sizeof link - 1));
    CHECK(strlen(link) > 18 && strcmp(link + strlen(link) - 18, "/program (deleted)") == 0);
    struct stat info;
    SYS(stat("/proc/self/exe", &info));
    CHECK_EQ(info.st_nlink, 0);
    CHECK_ERRNO(access("program", F_OK), ENOENT);
    char text[64];
    CHECK(read_file("/proc/self/comm", text, sizeof text) > 0);
    CHECK_STR(text, "program\n");
  }
  return 0;
}
