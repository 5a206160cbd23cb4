// exec closes exactly what is marked: by O_CLOEXEC, FD_CLOEXEC, F_DUPFD_CLOEXEC and close_range.
#include "guest.h"

int main(int argc, char** argv) {
  guest_begin();
  if (argc > 1) {
    for (int i = 1; i < argc; ++i) {
      int fd = atoi(argv[i]);
      if (fd > 0) {
        CHECK(fcntl(fd, F_GETFD) >= 0);
        CHECK_EQ(lseek(fd, 0, SEEK_CUR), 3);
      } else {
        CHECK_ERRNO(fcntl(-fd, F_GETFD), EBADF);
      }
    }
    return 0;
  }
  char text[] = "0123456789";
  write_file("file", text, 0600);
  int kept = SYS(open("file", O_RDONLY));
  int marked_open = SYS(open("file", O_RDONLY | O_CLOEXEC));
  int marked_later = SYS(dup(kept));
  SYS(fcntl(marked_later, F_SETFD, FD_CLOEXEC));
  int marked_dup = SYS(fcntl(kept, F_DUPFD_CLOEXEC, 100));
  int kept_dup = SYS(fcntl(marked_open, F_DUPFD, 200));
  int marked_range = SYS(fcntl(kept, F_DUPFD, 300));
  SYS(syscall(SYS_close_range, 300, 400, 4 /* CLOSE_RANGE_CLOEXEC */));
  SYS(lseek(kept, 3, SEEK_SET));
  SYS(lseek(kept_dup, 3, SEEK_SET));
  pid_t child = guest_fork();
  if (child == 0) {
    char numbers[6][16];
    int fds[] = {kept, -marked_open, -marked_later, -marked_dup, kept_dup, -marked_range};
    for (int i = 0; i < 6; ++i) {
      snprintf(numbers[i], sizeof numbers[i], "%d", fds[i]);
    }
    execl("/proc/self/exe", argv[0], numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5],
          (char*)NULL);
    FAIL("exec: errno %d", errno);
  }
  REAP(child);
  return guest_pass();
}
