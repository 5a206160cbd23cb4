// Writes a stream of bytes on a thread of its own, while whoever makes them goes on with the next: reading memory and
// writing it to a file take about the same time.
//
// Owns the thread and a few buffers. One thread fills them.
#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/result.h"

namespace beam::migrate {

class WriteBehind {
 public:
  static constexpr std::size_t kBuffer = 256UL << 10;  // bytes: all buffers stay in the processor's cache

  // `write` is called on the other thread, for one part after the other, until it fails.
  explicit WriteBehind(std::function<Result<>(const char*, std::size_t)> write);
  // What has not been written by then is dropped.
  ~WriteBehind();
  WriteBehind(const WriteBehind&) = delete;
  WriteBehind& operator=(const WriteBehind&) = delete;

  // kBuffer bytes to fill, once they are free; or the error of a write.
  Result<char*> buffer();
  // So many bytes of it follow in the stream; none: it has not been asked for.
  void put(std::size_t size);
  // All has been written; or the error.
  Result<> finish();

 private:
  void run();

  std::function<Result<>(const char*, std::size_t)> write_;
  struct Buffer {
    std::vector<char> bytes;
    std::size_t size = 0;
  };
  std::array<Buffer, 4> buffers_;
  std::size_t filled_ = 0;   // counts up; the buffer is the number modulo their count
  std::size_t written_ = 0;  // likewise
  std::mutex mutex_;
  std::condition_variable changed_;
  bool end_ = false;
  std::optional<Error> error_;
  std::thread thread_;
};

}  // namespace beam::migrate
