// What the kernel of this workstation offers of what Beam uses, found out by trying, and what it means where it is
// missing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace beam::runtime {

struct Feature {
  std::string name;
  bool available = false;
  bool needed = false;    // Beam doesn't run without it
  std::string detail;     // a version or a value, where there is one
  std::string otherwise;  // what its absence costs
};

struct Limit {
  std::string name;
  std::uint64_t value = 0;  // UINT64_MAX: none
  std::string meaning;      // what it bounds, and how to raise it
};

[[nodiscard]] std::vector<Feature> probe_features();
[[nodiscard]] std::vector<Limit> probe_limits();

// Nanoseconds for one call, the least of several rounds; 0 when it can't be measured here.
struct CallCosts {
  std::uint64_t native = 0;        // getppid
  std::uint64_t notification = 0;  // answered by a supervisor
  std::uint64_t trace_stop = 0;    // SECCOMP_RET_TRACE, one stop
};
[[nodiscard]] CallCosts measure_calls();

}  // namespace beam::runtime
