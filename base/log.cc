#include "base/log.h"

#include <fcntl.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <deque>
#include <memory>
#include <mutex>

namespace beam::log {
namespace {

constexpr std::array<const char*, 6> kSubjects = {"base", "ns", "rootfs", "interpose", "migrate", "runtime"};
constexpr std::size_t kRing = 64;

// The log is the one thing every folder shares; it is set up once, before threads start.
struct State {
  std::array<std::atomic<int>, kSubjects.size()> levels{};
  std::shared_ptr<spdlog::logger> logger;
  std::mutex mutex;
  std::deque<std::string> ring;
  State() {
    for (auto& level : levels) {
      level = static_cast<int>(Level::kWarn);
    }
    logger = std::make_shared<spdlog::logger>("beam", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    logger->set_level(spdlog::level::trace);
    logger->set_pattern("beam: %v");
  }
};

State& state() {
  static State instance;
  return instance;
}

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::kTrace:
      return spdlog::level::trace;
    case Level::kDebug:
      return spdlog::level::debug;
    case Level::kInfo:
      return spdlog::level::info;
    case Level::kWarn:
      return spdlog::level::warn;
    case Level::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

bool parse_level(std::string_view text, Level& level) {
  constexpr std::array<std::string_view, 5> names = {"trace", "debug", "info", "warn", "error"};
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (text == names[i]) {
      level = static_cast<Level>(i);
      return true;
    }
  }
  return false;
}

}  // namespace

void set_level(Level level) {
  for (auto& entry : state().levels) {
    entry = static_cast<int>(level);
  }
}

void init(Level fallback) {
  set_level(fallback);
  const char* spec = std::getenv("BEAM_LOG");
  std::string_view rest = spec != nullptr ? spec : "";
  while (!rest.empty()) {
    const auto comma = rest.find(',');
    const auto item = rest.substr(0, comma);
    rest = comma == std::string_view::npos ? std::string_view{} : rest.substr(comma + 1);
    const auto colon = item.find(':');
    Level level{};
    if (colon == std::string_view::npos) {
      if (parse_level(item, level)) {
        set_level(level);
      }
      continue;
    }
    for (std::size_t i = 0; i < kSubjects.size(); ++i) {
      if (item.substr(0, colon) == kSubjects[i] && parse_level(item.substr(colon + 1), level)) {
        state().levels[i] = static_cast<int>(level);
      }
    }
  }
}

bool log_to_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) {
    return false;
  }
  ::close(fd);
  auto logger = std::make_shared<spdlog::logger>("beam", std::make_shared<spdlog::sinks::basic_file_sink_mt>(path));
  logger->set_level(spdlog::level::trace);
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%f %l %v");
  logger->flush_on(spdlog::level::trace);
  state().logger = std::move(logger);
  return true;
}

bool enabled(Subject subject, Level level) {
  return static_cast<int>(level) >= state().levels[static_cast<std::size_t>(subject)].load(std::memory_order_relaxed);
}

void write(Subject subject, Level level, std::string_view line) {
  auto& self = state();
  std::string text = fmt::format("{}: {}", kSubjects[static_cast<std::size_t>(subject)], line);
  self.logger->log(to_spdlog(level), text);
  const std::lock_guard lock(self.mutex);
  self.ring.push_back(std::move(text));
  if (self.ring.size() > kRing) {
    self.ring.pop_front();
  }
}

std::string recent() {
  auto& self = state();
  const std::lock_guard lock(self.mutex);
  std::string text;
  for (const auto& line : self.ring) {
    text += line + "\n";
  }
  return text;
}

}  // namespace beam::log
