// mq_notify(3): the kernel does it; what was asked for is remembered, as it does not tell (mq_notices.h).
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <utility>

#include "interpose/mq_notices.h"
#include "interpose/shared.h"
#include "interpose/syscall_table.h"

namespace beam::interpose {
namespace {

constexpr std::size_t kCookie = 32;  // NOTIFY_COOKIE_LEN, linux/mqueue.h

struct AskedToBeTold : CallInProgress {
  MqNotice notice;
  void at_exit(ExitCall& call) override {
    const HostPid process = call.task().process->host;
    const std::string path = "/proc/" + std::to_string(call.task().tid.value()) + "/fd/" + std::to_string(notice.fd);
    struct stat queue {};
    if (call.result() == 0 && ::stat(path.c_str(), &queue) == 0) {
      call.shared().mq_notices.note(process, queue, std::move(notice));
    }
  }
};

BEAM_SYSCALL(mq_notify, Strategy::kRewrite, GuestFd queue, RemotePtr<sigevent> event) {
  sigevent asked{};
  if (event.address() == 0 || call.memory().read(event.address(), &asked, sizeof asked) != 0) {
    return Rewrite::pass();
  }
  auto progress = std::make_unique<AskedToBeTold>();
  MqNotice& notice = progress->notice;
  notice.fd = queue.value();
  notice.notify = asked.sigev_notify;
  notice.signal = asked.sigev_signo;
  notice.value = reinterpret_cast<std::uint64_t>(asked.sigev_value.sival_ptr);
  if (asked.sigev_notify == SIGEV_THREAD) {
    notice.cookie.resize(kCookie);
    if (call.memory().read(notice.value, notice.cookie.data(), kCookie) != 0) {
      return Rewrite::pass();
    }
  }
  return Rewrite::until_exit(std::move(progress));
}

}  // namespace
}  // namespace beam::interpose
