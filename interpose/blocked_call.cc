#include "interpose/blocked_call.h"

#include <fcntl.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/unique_fd.h"

namespace beam::interpose {
namespace {

bool read_text(const std::string& path, char* to, std::size_t size) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) {
    return false;
  }
  const ssize_t got = ::read(fd.get(), to, size - 1);
  if (got <= 0) {
    return false;
  }
  to[got] = 0;
  return true;
}

// When the scheduler last charged the task, which for a sleeping one is when it fell asleep: milliseconds on the clock
// of the processor that it last ran on (kernel/sched/debug.c proc_sched_show_task).
std::optional<double> last_charged_ms(const std::string& task) {
  char text[1024];
  if (!read_text(task + "/sched", text, sizeof text)) {
    return std::nullopt;
  }
  const char* line = std::strstr(text, "se.exec_start");
  const char* colon = line != nullptr ? std::strchr(line, ':') : nullptr;
  if (colon == nullptr) {
    return std::nullopt;
  }
  return std::strtod(colon + 1, nullptr);
}

std::optional<int> last_processor(const std::string& task) {
  char text[1024];
  if (!read_text(task + "/stat", text, sizeof text)) {
    return std::nullopt;
  }
  const char* at = std::strrchr(text, ')');
  constexpr int kFieldsToProcessor = 37;  // field 39, counted from behind the name (proc(5))
  for (int i = 0; i < kFieldsToProcessor && at != nullptr; ++i) {
    at = std::strchr(at + 1, ' ');
  }
  return at == nullptr ? std::nullopt : std::optional<int>(std::atoi(at));
}

double monotonic_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

}  // namespace

// A processor's clock leaves out the time that it spent in interrupts or that its host stole, so those of two
// processors drift apart: the caller moves to the processor in question for a moment.
std::optional<double> BlockedCallReader::processor_clock_ms(int processor) {
  auto known = ahead_ms_.find(processor);
  if (known == ahead_ms_.end()) {
    std::optional<double> ahead;
    cpu_set_t before;
    cpu_set_t only;
    CPU_ZERO(&only);
    CPU_SET(static_cast<unsigned>(processor), &only);
    if (::sched_getaffinity(0, sizeof before, &before) == 0 && ::sched_setaffinity(0, sizeof only, &only) == 0) {
      ::sched_yield();  // charges this thread up to now
      if (const auto now = last_charged_ms("/proc/thread-self")) {
        ahead = *now - monotonic_ms();
      }
      ::sched_setaffinity(0, sizeof before, &before);
    }
    known = ahead_ms_.emplace(processor, ahead).first;
  }
  return known->second ? std::optional<double>(*known->second + monotonic_ms()) : std::nullopt;
}

std::optional<BlockedCall> BlockedCallReader::read(HostPid tid) {
  const std::string task = "/proc/" + std::to_string(tid.value());
  char text[256];
  BlockedCall call;
  // "running" for a task that is on a processor, or ready to be; -1 for one that sleeps outside any call.
  if (!read_text(task + "/syscall", text, sizeof text) ||
      std::sscanf(text, "%ld 0x%" SCNx64 " 0x%" SCNx64 " 0x%" SCNx64 " 0x%" SCNx64 " 0x%" SCNx64 " 0x%" SCNx64,
                  &call.number, &call.args[0], &call.args[1], &call.args[2], &call.args[3], &call.args[4],
                  &call.args[5]) != 7 ||
      call.number < 0) {
    return std::nullopt;
  }
  const auto since = last_charged_ms(task);
  const auto processor = last_processor(task);
  if (since && processor) {
    const auto now = processor_clock_ms(*processor);
    if (now && *now > *since) {
      call.asleep_ns = static_cast<std::uint64_t>(std::llround((*now - *since) * 1e6));
    }
  }
  return call;
}

}  // namespace beam::interpose
