// A descriptor table beside the supervisor's, in which any number can be used for a moment: the kernel remembers the
// number under which something was registered (epoll_ctl(2)), and the program will name that number again.
#pragma once

#include <functional>

#include "base/result.h"

namespace beam::migrate {

class OwnTable {
 public:
  // Runs `work` in a thread of its own with a copy of this process's descriptor table, and waits for it.
  [[nodiscard]] static Result<> run(const std::function<Result<>(OwnTable&)>& work);

  // epoll_ctl(2) on `epoll` with `target`, both descriptors of the supervisor, as if the target had the number
  // `number`. 0 or an errno.
  int epoll_ctl(int epoll, int operation, int target, int number, unsigned events, unsigned long long data);

 private:
  OwnTable() = default;
};

}  // namespace beam::migrate
