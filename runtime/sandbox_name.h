// Names of sandboxes and groups: which are valid, and readable generated ones.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace beam::runtime {

// [A-Za-z0-9][A-Za-z0-9_.-]{0,62}: fit for a file name, a host name label and a shell word.
[[nodiscard]] bool valid_name(std::string_view name);
// The error that says what is wrong with `name`; `noun` is "sandbox" or "group".
Result<> check_name(std::string_view noun, std::string_view name);
// Two words, for example "quiet-heron". Later attempts for the same sandbox get a number as well.
[[nodiscard]] std::string generate_name(unsigned attempt);

}  // namespace beam::runtime
