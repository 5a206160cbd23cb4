// Logging by subject and level, set with BEAM_LOG=subject:level[,...] (for example BEAM_LOG=migrate:debug) or --log-level.
// Lines go to stderr until log_to_file() is called; each has time, level and subject.
#pragma once

#include <fmt/core.h>

#include <string>
#include <string_view>

namespace beam::log {

enum class Subject { kBase, kNs, kRootfs, kInterpose, kMigrate, kRuntime };
enum class Level { kTrace, kDebug, kInfo, kWarn, kError };

// Reads BEAM_LOG; `fallback` holds for subjects that it does not name.
void init(Level fallback = Level::kWarn);
void set_level(Level level);
// Appends to `path` from now on, created 0600. Used by supervisors, whose stderr is not the user's.
bool log_to_file(const std::string& path);
[[nodiscard]] bool enabled(Subject subject, Level level);
void write(Subject subject, Level level, std::string_view line);
// The last lines of every level, oldest first: what BEAM_CHECK prints.
[[nodiscard]] std::string recent();

template <typename... Args>
void line(Subject subject, Level level, fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(subject, level)) {
    write(subject, level, fmt::format(format, std::forward<Args>(args)...));
  }
}

}  // namespace beam::log

#define BEAM_LOG_TRACE(subject, ...) ::beam::log::line(::beam::log::Subject::subject, ::beam::log::Level::kTrace, __VA_ARGS__)
#define BEAM_LOG_DEBUG(subject, ...) ::beam::log::line(::beam::log::Subject::subject, ::beam::log::Level::kDebug, __VA_ARGS__)
#define BEAM_LOG_INFO(subject, ...) ::beam::log::line(::beam::log::Subject::subject, ::beam::log::Level::kInfo, __VA_ARGS__)
#define BEAM_LOG_WARN(subject, ...) ::beam::log::line(::beam::log::Subject::subject, ::beam::log::Level::kWarn, __VA_ARGS__)
#define BEAM_LOG_ERROR(subject, ...) ::beam::log::line(::beam::log::Subject::subject, ::beam::log::Level::kError, __VA_ARGS__)
