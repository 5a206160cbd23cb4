// An owned file descriptor of this process. Owns: the descriptor, closed with the object. Holds: -1 means none.
#pragma once

#include <unistd.h>

#include <utility>

namespace beam {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    reset(std::exchange(other.fd_, -1));
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { reset(); }

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }
  explicit operator bool() const { return fd_ >= 0; }

  // Keeps errno, so that it may run between a failing call and the reading of its error.
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

}  // namespace beam
