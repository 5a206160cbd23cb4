// State structs (fields.h) as JSON, under their fields' names.
//
// Every kind of object instantiates this, so the JSON library stays behind JsonTarget: its header costs more to compile
// than the kinds themselves. json_value.h is for those who hold values of it.
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "migrate/fields.h"

namespace beam::migrate {

using Json = nlohmann::ordered_json;

// Bytes that are no text: as hexadecimal digits.
[[nodiscard]] std::string hexadecimal(const std::vector<std::uint8_t>& bytes);

// Where a value is written to. Not owned: `json` outlives it; what element() and member() gave is invalid once the same
// target has been asked for another.
class JsonTarget {
 public:
  explicit JsonTarget(Json& json) : json_(json) {}
  void set(bool value) const;
  void set(std::int64_t value) const;
  void set(std::uint64_t value) const;
  // File names are bytes; what is not UTF-8 is replaced, so that the document stays valid.
  void set(const std::string& text) const;
  void set_null() const;
  void set_bytes(const std::vector<std::uint8_t>& bytes) const;
  void make_object() const;
  void make_array() const;
  [[nodiscard]] JsonTarget member(const char* name) const;
  [[nodiscard]] JsonTarget element() const;

 private:
  Json& json_;
};

template <typename T>
void write_json(const JsonTarget& target, const T& value);

template <typename T>
void write_json_list(const JsonTarget& target, const T& list) {
  target.make_array();
  for (const auto& item : list) {
    write_json(target.element(), item);
  }
}

template <typename T>
struct JsonValue {
  static void write(const JsonTarget& target, const T& value) {
    if constexpr (State<T>) {
      target.make_object();
      for_each_field<T>(value,
                        [&](const char* name, const auto& field, int) { write_json(target.member(name), field); });
    } else if constexpr (std::is_enum_v<T>) {
      target.set(std::string(to_string(value)));  // found beside the enumeration
    } else if constexpr (std::is_same_v<T, bool>) {
      target.set(value);
    } else if constexpr (std::is_signed_v<T>) {
      target.set(static_cast<std::int64_t>(value));
    } else {
      static_assert(std::is_unsigned_v<T>);
      target.set(static_cast<std::uint64_t>(value));
    }
  }
};
template <>
struct JsonValue<std::string> {
  static void write(const JsonTarget& target, const std::string& text) { target.set(text); }
};
template <typename T>
struct JsonValue<std::vector<T>> {
  static void write(const JsonTarget& target, const std::vector<T>& list) { write_json_list(target, list); }
};
template <>
struct JsonValue<std::vector<std::uint8_t>> {
  static void write(const JsonTarget& target, const std::vector<std::uint8_t>& bytes) { target.set_bytes(bytes); }
};
template <typename T, std::size_t kSize>
struct JsonValue<std::array<T, kSize>> {
  static void write(const JsonTarget& target, const std::array<T, kSize>& list) { write_json_list(target, list); }
};
template <typename T>
struct JsonValue<std::optional<T>> {
  static void write(const JsonTarget& target, const std::optional<T>& value) {
    if (value) {
      write_json(target, *value);
    } else {
      target.set_null();
    }
  }
};

template <typename T>
void write_json(const JsonTarget& target, const T& value) {
  JsonValue<T>::write(target, value);
}

}  // namespace beam::migrate
