#include "migrate/write_behind.h"

#include <pthread.h>
#include <signal.h>

namespace beam::migrate {

WriteBehind::WriteBehind(std::function<Result<>(const char*, std::size_t)> write) : write_(std::move(write)) {
  for (Buffer& buffer : buffers_) {
    buffer.bytes.resize(kBuffer);
  }
  // Signals are for the threads that were there before.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

WriteBehind::~WriteBehind() {
  {
    const std::lock_guard lock(mutex_);
    end_ = true;
    written_ = filled_;
  }
  changed_.notify_all();
  if (thread_.joinable()) {
    thread_.join();
  }
}

Result<char*> WriteBehind::buffer() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return filled_ - written_ < buffers_.size() || error_; });
  if (error_) {
    return *error_;
  }
  return buffers_[filled_ % buffers_.size()].bytes.data();
}

void WriteBehind::put(std::size_t size) {
  if (size == 0) {
    return;  // nobody has waited for a buffer: the next one may be full still
  }
  {
    const std::lock_guard lock(mutex_);
    buffers_[filled_ % buffers_.size()].size = size;
    ++filled_;
  }
  changed_.notify_all();
}

Result<> WriteBehind::finish() {
  {
    const std::lock_guard lock(mutex_);
    end_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) {
    thread_.join();
  }
  return error_ ? Result<>(*error_) : success();
}

void WriteBehind::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return written_ < filled_ || end_; });
    if (written_ >= filled_) {
      return;
    }
    const Buffer& buffer = buffers_[written_ % buffers_.size()];
    lock.unlock();
    auto done = write_(buffer.bytes.data(), buffer.size);
    lock.lock();
    if (!done.ok()) {
      error_ = std::move(done).error();
      changed_.notify_all();
      return;
    }
    if (written_ < filled_) {  // or it has been given up meanwhile
      ++written_;
    }
    changed_.notify_all();
  }
}

}  // namespace beam::migrate
