#include "migrate/own_table.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

namespace beam::migrate {

Result<> OwnTable::run(const std::function<Result<>(OwnTable&)>& work) {
  Result<> result = success();
  std::thread thread([&] {
    if (::unshare(CLONE_FILES) != 0) {
      result = Error::from_errno("make a descriptor table");
      return;
    }
    OwnTable table;
    result = work(table);
  });
  thread.join();
  return result;
}

int OwnTable::epoll_ctl(int epoll, int operation, int target, int number, unsigned events, unsigned long long data) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = data;
  if (number == target) {
    return ::epoll_ctl(epoll, operation, number, &event) == 0 ? 0 : errno;
  }
  // Whatever has the number here makes room meanwhile; that may be the epoll instance itself.
  const int saved = ::fcntl(number, F_DUPFD_CLOEXEC, 0);
  if (::dup3(target, number, O_CLOEXEC) < 0) {
    const int error = errno;
    if (saved >= 0) {
      ::close(saved);
    }
    return error;
  }
  const int error = ::epoll_ctl(epoll == number ? saved : epoll, operation, number, &event) == 0 ? 0 : errno;
  if (saved >= 0) {
    ::dup3(saved, number, O_CLOEXEC);
    ::close(saved);
  } else {
    ::close(number);
  }
  return error;
}

}  // namespace beam::migrate
