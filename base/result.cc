#include "base/result.h"

#include <cstring>

namespace beam {

std::string Error::message() const {
  std::string text = what_;
  if (code_ > 0) {
    text += ": ";
    text += ::strerrordesc_np(code_) != nullptr ? ::strerrordesc_np(code_) : "unknown error";
  }
  if (!remedy_.empty()) {
    text += "; " + remedy_;
  }
  return text;
}

Error&& Error::context(const std::string& outer) && {
  what_ = outer + ": " + what_;
  return std::move(*this);
}

Error&& Error::remedy(std::string text) && {
  remedy_ = std::move(text);
  return std::move(*this);
}

}  // namespace beam
