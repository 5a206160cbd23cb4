// Names of sockets that the ended sandbox had are free only when the kernel has let go of its last descriptions, which
// it does a moment after their processes are gone (fput() defers it, fs/file_table.c; so does the collector of
// descriptors in messages, net/unix/garbage.c). A thaw that follows at once waits for that moment.
#pragma once

#include <chrono>
#include <thread>

namespace beam::migrate {

// Asks again until it is so; false when it still isn't after a second: somebody else has the name then.
template <typename Condition>
[[nodiscard]] bool soon(Condition condition) {
  constexpr auto kMoment = std::chrono::milliseconds(2);
  constexpr int kMoments = 500;
  for (int i = 0; i < kMoments; ++i) {
    if (condition()) {
      return true;
    }
    std::this_thread::sleep_for(kMoment);
  }
  return condition();
}

}  // namespace beam::migrate
