// State structs as values of the JSON library.
#pragma once

#include <nlohmann/json.hpp>

#include "migrate/json.h"

namespace beam::migrate {

template <typename T>
[[nodiscard]] Json to_json_value(const T& value) {
  Json json;
  write_json(JsonTarget(json), value);
  return json;
}

}  // namespace beam::migrate
