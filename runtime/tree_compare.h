// What differs between two files, and between two directory trees.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"

namespace beam::runtime {

// "differs at byte N", or nothing.
Result<std::optional<std::string>> first_difference(const std::string& one, const std::string& other);
// The first path, in alphabetical order, that is not the same in both: there at all, type, permissions, contents,
// target of a symbolic link.
Result<std::optional<std::string>> first_tree_difference(const std::string& one, const std::string& other);

}  // namespace beam::runtime
