// What can't be frozen yet, and is refused by name: a context of asynchronous I/O, UDP-Lite.
#include <linux/aio_abi.h>
#include <netinet/in.h>
#include <sys/syscall.h>

#include "case.h"
#include "sock.h"

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
      {"ring", ring},
      {"light_datagrams", light_datagrams},
  };
  return CASES(cases);
}
