// What programs may have found the processor to be able to. A program asks once, at its start, and goes by the answer.
#pragma once

#include <string>
#include <vector>

namespace beam::migrate {

// The instructions that this processor has beyond the baseline, by the names of /proc/cpuinfo, sorted.
[[nodiscard]] std::vector<std::string> cpu_features();
// Those of `wanted` that are not in `there`.
[[nodiscard]] std::vector<std::string> missing_features(const std::vector<std::string>& wanted,
                                                        const std::vector<std::string>& there);

}  // namespace beam::migrate
