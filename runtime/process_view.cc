#include "runtime/process_view.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

#include "runtime/file_io.h"
#include "runtime/launch.h"

namespace beam::runtime {

std::string command_of(pid_t host_pid) {
  const std::string directory = "/proc/" + std::to_string(host_pid);
  const auto text = read_file(directory + "/cmdline", 4U << 20U);
  if (text.ok() && !text->empty()) {
    std::vector<std::string> words;
    std::size_t from = 0;
    while (from < text->size()) {
      const auto zero = std::min(text->find('\0', from), text->size());
      words.push_back(text->substr(from, zero - from));
      from = zero + 1;
    }
    return quote_command(words);
  }
  auto name = read_file(directory + "/comm", 256);
  if (!name.ok() || name->empty()) {
    return {};
  }
  name->pop_back();
  return "[" + *name + "]";
}

std::uint64_t memory_of(pid_t host_pid) {
  const std::string directory = "/proc/" + std::to_string(host_pid);
  if (const auto rollup = read_file(directory + "/smaps_rollup", 64U << 10U); rollup.ok()) {
    const auto at = rollup->find("\nPss:");
    if (at != std::string::npos) {
      return std::strtoull(rollup->c_str() + at + 5, nullptr, 10) * 1024;
    }
  }
  // What a process that may not be inspected still shows.
  unsigned long long total = 0;
  unsigned long long resident = 0;
  const auto statm = read_file(directory + "/statm", 256);
  if (statm.ok() && std::sscanf(statm->c_str(), "%llu %llu", &total, &resident) == 2) {
    return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  }
  return 0;
}

}  // namespace beam::runtime
