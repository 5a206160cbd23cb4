// State structs (fields.h) as JSON, under their fields' names.
#pragma once

#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "migrate/fields.h"

namespace beam::migrate {

using Json = nlohmann::ordered_json;

// Bytes that are no text: as hexadecimal digits.
[[nodiscard]] inline std::string hexadecimal(const std::vector<std::uint8_t>& bytes) {
  constexpr const char* kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const std::uint8_t byte : bytes) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

template <typename T>
[[nodiscard]] Json to_json_value(const T& value);

template <typename T>
[[nodiscard]] Json to_json_list(const T& list) {
  Json array = Json::array();
  for (const auto& item : list) {
    array.push_back(to_json_value(item));
  }
  return array;
}

template <typename T>
struct JsonValue {
  static Json of(const T& value) {
    if constexpr (State<T>) {
      Json object = Json::object();
      for_each_field<T>(value, [&](const char* name, const auto& field, int) { object[name] = to_json_value(field); });
      return object;
    } else if constexpr (std::is_enum_v<T>) {
      return to_string(value);  // found beside the enumeration
    } else {
      return value;
    }
  }
};
template <>
struct JsonValue<std::string> {
  // File names are bytes; what is not UTF-8 must not make the document invalid.
  static Json of(const std::string& text) {
    return Json::parse(Json(text).dump(-1, ' ', false, Json::error_handler_t::replace));
  }
};
template <typename T>
struct JsonValue<std::vector<T>> {
  static Json of(const std::vector<T>& list) { return to_json_list(list); }
};
template <>
struct JsonValue<std::vector<std::uint8_t>> {
  static Json of(const std::vector<std::uint8_t>& bytes) { return hexadecimal(bytes); }
};
template <typename T, std::size_t kSize>
struct JsonValue<std::array<T, kSize>> {
  static Json of(const std::array<T, kSize>& list) { return to_json_list(list); }
};
template <typename T>
struct JsonValue<std::optional<T>> {
  static Json of(const std::optional<T>& value) { return value ? to_json_value(*value) : Json(nullptr); }
};

template <typename T>
Json to_json_value(const T& value) {
  return JsonValue<T>::of(value);
}

}  // namespace beam::migrate
