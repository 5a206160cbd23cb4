// What comes from a stranger: the manifest and the objects of an image. Whatever the bytes are, they are refused or
// decode to something that holds together, encodes to what decodes to the same, and can be shown. The first byte says
// what follows: a manifest with its hash, the inside of one, objects, or the index of a private layer.

#include <cstdint>
#include <cstring>
#include <string>

#include "base/check.h"
#include "migrate/image.h"
#include "migrate/json_value.h"
#include "migrate/layer.h"
#include "migrate/object_kind.h"

namespace {

using namespace beam::migrate;

void try_manifest(std::string_view bytes) {
  if (const auto manifest = decode_manifest(bytes); manifest.ok()) {
    const auto again = decode_manifest(encode_manifest(*manifest));
    BEAM_CHECK(again.ok() && encode(*again) == encode(*manifest));
    (void)to_json_value(*manifest).dump();
  }
}

// With the hash that an attacker would compute as well.
void try_inside(std::string_view bytes) {
  const auto manifest = decode<Manifest>(bytes);
  if (manifest.ok()) {
    try_manifest(encode_manifest(*manifest));
  }
}

void try_objects(std::string_view bytes) {
  const auto state = decode<SandboxState>(bytes);
  if (!state.ok()) {
    return;
  }
  const std::string encoded = encode(*state);
  const auto again = decode<SandboxState>(encoded);
  BEAM_CHECK(again.ok() && encode(*again) == encoded);
  // Page files of any name and of a size that no page is beyond.
  Manifest manifest;
  for (const auto& space : state->address_spaces) {
    manifest.files.push_back({space.page_file, 1ULL << 40, 0, false, 1ULL << 40, 0, 0});
  }
  for (const auto& memory : state->shared_memory) {
    manifest.files.push_back({memory.page_file, 1ULL << 40, 0, false, 1ULL << 40, 0, 0});
  }
  if (!check_references(*state, manifest).ok()) {
    return;
  }
  (void)to_json_value(*state).dump(-1, ' ', false, Json::error_handler_t::replace);
  for (const auto& object : state->objects) {
    Json shown;
    BEAM_CHECK(find_kind(object.kind)->show(object.state, JsonTarget(shown)).ok());
  }
}

void try_layer(std::string_view bytes) {
  const auto layer = decode<LayerState>(bytes);
  if (!layer.ok()) {
    return;
  }
  const std::string encoded = encode(*layer);
  const auto again = decode<LayerState>(encoded);
  BEAM_CHECK(again.ok() && encode(*again) == encoded);
  if (check_layer(*layer, 1ULL << 40).ok()) {
    (void)to_json_value(*layer).dump(-1, ' ', false, Json::error_handler_t::replace);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) {
    return 0;
  }
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  constexpr std::uint8_t kLayer = 'L';  // the others are told by their remainder
  if (data[0] == kLayer) {
    try_layer(rest);
    return 0;
  }
  switch (data[0] % 3) {
    case 0:
      try_manifest(rest);
      break;
    case 1:
      try_inside(rest);
      break;
    default:
      try_objects(rest);
      break;
  }
  return 0;
}
