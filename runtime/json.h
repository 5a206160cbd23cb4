// JSON as Beam reads and prints it: fields in the order in which they were set.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace beam::runtime {

using Json = nlohmann::ordered_json;

// File names and arguments may hold any bytes; those that are no UTF-8 print as U+FFFD rather than fail.
inline std::string dump(const Json& json, int indent = -1) {
  return json.dump(indent, ' ', false, nlohmann::detail::error_handler_t::replace);
}

}  // namespace beam::runtime
