#include "migrate/cpu.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <sstream>
#include <string_view>

namespace beam::migrate {
namespace {

// Flags that mean instructions a program can execute. Whatever else is there (mitigations, what only the kernel uses)
// makes no difference to it. A trailing * stands for any rest.
constexpr std::array<std::string_view, 48> kInstructions{
    "sse*",   "ssse3",      "avx*",     "amx*",      "aes",       "vaes",      "pclmulqdq", "vpclmulqdq",
    "bmi1",   "bmi2",       "adx",      "fma*",      "f16c",      "movbe",     "popcnt",    "abm",
    "sha_ni", "sha512",     "sm3",      "sm4",       "gfni",      "rdrand",    "rdseed",    "rdpid",
    "clwb",   "clflushopt", "fsgsbase", "ospke",     "xsave",     "xsavec",    "rtm",       "hle",
    "cx16",   "lahf_lm",    "movdiri",  "movdir64b", "serialize", "waitpkg",   "cldemote",  "prefetchwt1",
    "tbm",    "xop",        "3dnow*",   "rdtscp",    "clzero",    "cmpccxadd", "raoint",    "enqcmd"};

bool is_instruction(std::string_view flag) {
  return std::any_of(kInstructions.begin(), kInstructions.end(), [flag](std::string_view known) {
    return known.ends_with('*') ? flag.starts_with(known.substr(0, known.size() - 1)) : flag == known;
  });
}

}  // namespace

std::vector<std::string> cpu_features() {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line) && !line.starts_with("flags")) {
  }
  std::vector<std::string> features;
  std::istringstream words(line.substr(std::min(line.find(':'), line.size())));
  for (std::string word; words >> word;) {
    if (is_instruction(word)) {
      features.push_back(word);
    }
  }
  std::sort(features.begin(), features.end());
  return features;
}

std::vector<std::string> missing_features(const std::vector<std::string>& wanted,
                                          const std::vector<std::string>& there) {
  std::vector<std::string> missing;
  std::copy_if(wanted.begin(), wanted.end(), std::back_inserter(missing), [&](const std::string& feature) {
    return std::find(there.begin(), there.end(), feature) == there.end();
  });
  return missing;
}

}  // namespace beam::migrate
