#include "migrate/object_kind.h"

#include <algorithm>

#include "base/check.h"

namespace beam::migrate {
namespace {

struct Registry {
  std::vector<std::unique_ptr<ObjectKind>> owned;
  std::vector<const ObjectKind*> ordered;
};

// Registrations run before main, in whatever order the linker chose: made at the first of them.
Registry& registry() {
  static Registry all;
  return all;
}

}  // namespace

KindRegistration::KindRegistration(std::unique_ptr<ObjectKind> kind) {
  BEAM_CHECK(find_kind(kind->name()) == nullptr);
  Registry& all = registry();
  const auto after = std::upper_bound(all.ordered.begin(), all.ordered.end(), kind.get(),
                                      [](const ObjectKind* a, const ObjectKind* b) {
                                        return std::pair(a->order(), a->name()) < std::pair(b->order(), b->name());
                                      });
  all.ordered.insert(after, kind.get());
  all.owned.push_back(std::move(kind));
}

const std::vector<const ObjectKind*>& all_kinds() {
  return registry().ordered;
}

const ObjectKind* find_kind(std::string_view name) {
  for (const ObjectKind* kind : registry().ordered) {
    if (kind->name() == name) {
      return kind;
    }
  }
  return nullptr;
}

Result<int> LinkContext::object(std::uint32_t id) const {
  const auto it = objects.find(id);
  if (it == objects.end()) {
    return Error(kDamaged, "object " + std::to_string(id) + " is not in the image");
  }
  return it->second.get();
}

std::string_view info_value(std::string_view text, std::string_view name) {
  while (!text.empty()) {
    const auto end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    if (line.size() > name.size() && line.substr(0, name.size()) == name && line[name.size()] == ':') {
      const auto value = line.find_first_not_of(" \t", name.size() + 1);
      return value == std::string_view::npos ? std::string_view() : line.substr(value);
    }
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  }
  return {};
}

}  // namespace beam::migrate
