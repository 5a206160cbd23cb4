// What can't be frozen yet, and is refused by name: a lease that is being broken, a context of asynchronous I/O, inotify
// events that nobody has read, UDP-Lite.
#include <linux/aio_abi.h>
#include <netinet/in.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "case.h"
#include "sock.h"
#include "told.h"

static int opened(const char* name, int flags) { return SYS(open(name, flags | O_CREAT, 0640)); }

// A lease that is being broken goes on being broken, and the opener that waits for it gets its file in the end.
static void lease_breaking(void) {
  int fd = opened("lease-breaking", O_RDWR);
  SYS(fcntl(fd, F_SETLEASE, F_WRLCK));
  guest_block(SIGIO);
  CHECK_ERRNO(open("lease-breaking", O_RDONLY | O_NONBLOCK), EWOULDBLOCK);
  CHECK_EQ(fcntl(fd, F_GETLEASE), F_RDLCK);
  case_wait();
  int target = fcntl(fd, F_GETLEASE);
  CHECK(target == F_RDLCK || target == F_UNLCK);
  SYS(fcntl(fd, F_SETLEASE, F_UNLCK));
  SYS(close(fd));
  SYS(open("lease-breaking", O_RDONLY));
}

static void ring(void) {
  aio_context_t context = 0;
  if (syscall(SYS_io_setup, 16, &context) != 0) {
    CHECK_EQ(errno, ENOSYS);  // none is made, none is lost
    case_wait();
    return;
  }
  int fd = SYS(open("ring", O_RDWR | O_CREAT, 0600));
  char text[] = "asynchronous";
  struct iocb call = {.aio_data = 77, .aio_lio_opcode = IOCB_CMD_PWRITE, .aio_fildes = (unsigned)fd,
                      .aio_buf = (uintptr_t)text, .aio_nbytes = sizeof text};
  struct iocb* calls[] = {&call};
  CHECK_EQ(syscall(SYS_io_submit, context, 1, calls), 1);
  case_wait();
  struct io_event event;
  CHECK_EQ(syscall(SYS_io_getevents, context, 1, 1, &event, NULL), 1);
  CHECK_EQ(event.data, 77);
  CHECK_EQ(event.res, sizeof text);
  call.aio_data = 78;
  CHECK_EQ(syscall(SYS_io_submit, context, 1, calls), 1);
  CHECK_EQ(syscall(SYS_io_getevents, context, 1, 1, &event, NULL), 1);
  CHECK_EQ(event.data, 78);
  SYS(syscall(SYS_io_destroy, context));
}

static void inotify_unread(void) {
  SYS(mkdir("unread", 0755));
  int fd = SYS(inotify_init1(IN_NONBLOCK));
  int watch = SYS(inotify_add_watch(fd, "unread", IN_ALL_EVENTS));
  write_file("unread/a", "text", 0600);
  SYS(rename("unread/a", "unread/b"));
  SYS(unlink("unread/b"));
  int events[] = {IN_CREATE, IN_OPEN, IN_MODIFY, IN_ATTRIB, IN_CLOSE_WRITE, IN_MOVED_FROM, IN_MOVED_TO, IN_DELETE};
  struct pollfd waits = {fd, POLLIN, 0};
  CHECK_EQ(poll(&waits, 1, 0), 1);
  int before, after;
  SYS(ioctl(fd, FIONREAD, &before));
  case_wait();
  SYS(ioctl(fd, FIONREAD, &after));
  CHECK_EQ(after, before);
  CHECK_EQ(poll(&waits, 1, 0), 1);
  write_file("unread/late", "", 0600);
  struct told all[32];
  int count = told_by(fd, all, 32);
  CHECK(count > 8);
  for (int i = 0; i < 8; ++i) {
    CHECK_EQ(all[i].watch, watch);
    CHECK_EQ(all[i].mask, events[i]);
    CHECK_STR(all[i].name, i < 6 ? "a" : "b");
  }
  CHECK(all[5].cookie != 0);
  CHECK_EQ(all[5].cookie, all[6].cookie);
  CHECK_EQ(all[8].mask, IN_CREATE);
  CHECK_STR(all[8].name, "late");
}

static void inotify_partly_read(void) {
  SYS(mkdir("partly", 0755));
  int fd = SYS(inotify_init1(IN_NONBLOCK));
  SYS(inotify_add_watch(fd, "partly", IN_CREATE));
  for (int i = 0; i < 100; ++i) {
    char name[64];
    snprintf(name, sizeof name, "partly/%0*d", i % 40 + 3, i);
    SYS(close(SYS(open(name, O_CREAT | O_WRONLY, 0600))));
  }
  char buffer[sizeof(struct inotify_event) + 64];
  CHECK(SYS(read(fd, buffer, sizeof buffer)) > 0);
  case_wait();
  struct told all[128];
  int count = told_by(fd, all, 128);
  CHECK(count >= 96 && count < 100);
  for (int i = 0; i < count; ++i) {
    CHECK_EQ(atoi(all[i].name), 100 - count + i);
  }
}

static void light_datagrams(void) {
  int a = socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE), b = a < 0 ? -1 : socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE);
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof name;
  if (a >= 0) {
    SYS(bind(a, (struct sockaddr*)&name, size));
    SYS(getsockname(a, (struct sockaddr*)&name, &size));
    SYS(connect(b, (struct sockaddr*)&name, size));
    put(b, "light");
  }
  case_wait();
  if (a >= 0) {
    take(a, "light");
    put(b, "later");
    take(a, "later");
  }
}

int main(void) {
  guest_begin();
  static const struct guest_case cases[] = {
      {"lease_breaking", lease_breaking}, {"ring", ring}, {"inotify_unread", inotify_unread},
      {"inotify_partly_read", inotify_partly_read}, {"light_datagrams", light_datagrams},
  };
  return CASES(cases);
}
