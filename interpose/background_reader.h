// Reads the memory of a thawed sandbox in from its image while the sandbox runs (unread_memory.h): in turns, so that
// the sandbox runs at least half of the time.
//
// Owns its thread, which ends when all has been read. The tracer must outlive it.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

#include "interpose/tracer.h"

namespace beam::interpose {

class BackgroundReader {
 public:
  BackgroundReader(Shared& shared, Tracer& tracer);
  // What has not been read stays so.
  ~BackgroundReader();
  BackgroundReader(const BackgroundReader&) = delete;
  BackgroundReader& operator=(const BackgroundReader&) = delete;

 private:
  void run();
  Shared& shared_;
  Tracer& tracer_;
  std::mutex mutex_;
  std::condition_variable stopped_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace beam::interpose
