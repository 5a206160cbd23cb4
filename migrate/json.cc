#include "migrate/json.h"

#include <nlohmann/json.hpp>

namespace beam::migrate {

std::string hexadecimal(const std::vector<std::uint8_t>& bytes) {
  constexpr const char* kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const std::uint8_t byte : bytes) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

void JsonTarget::set(bool value) const {
  json_ = value;
}
void JsonTarget::set(std::int64_t value) const {
  json_ = value;
}
void JsonTarget::set(std::uint64_t value) const {
  json_ = value;
}
void JsonTarget::set_null() const {
  json_ = nullptr;
}
void JsonTarget::make_object() const {
  json_ = Json::object();
}
void JsonTarget::make_array() const {
  json_ = Json::array();
}
JsonTarget JsonTarget::member(const char* name) const {
  return JsonTarget(json_[name]);
}

void JsonTarget::set(const std::string& text) const {
  json_ = Json::parse(Json(text).dump(-1, ' ', false, Json::error_handler_t::replace));
}

void JsonTarget::set_bytes(const std::vector<std::uint8_t>& bytes) const {
  json_ = hexadecimal(bytes);
}

JsonTarget JsonTarget::element() const {
  json_.push_back(nullptr);
  return JsonTarget(json_.back());
}

}  // namespace beam::migrate
