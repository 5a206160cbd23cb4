// The private layer of a sandbox with a mount view, in its image: "layer" lists every entry with what is kept of it,
// "layer-data" has the contents of files one after the other. Nothing of it depends on what the file system that an
// image lies on can keep, so an image may be copied by anything that copies files.
//
// An index may come from a stranger: check_layer() says whether it may be unpacked.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "migrate/fields.h"
#include "migrate/image.h"
#include "migrate/state.h"
#include "rootfs/view.h"

namespace beam::migrate {

inline constexpr const char* kLayerIndex = "layer";
inline constexpr const char* kLayerData = "layer-data";

struct LayerOwner {
  std::uint32_t user = 0;
  std::uint32_t group = 0;
};
BEAM_STATE(LayerOwner, 1, user, group)

// A part of a file that is not a hole.
struct LayerRun {
  std::uint64_t at = 0;  // in the file
  std::uint64_t size = 0;
  std::uint64_t offset = 0;  // in layer-data
};
BEAM_STATE(LayerRun, 1, at, size, offset)

struct LayerEntry {
  std::string path;        // in the layer's directory; a directory comes before what is in it
  std::uint32_t mode = 0;  // with its type
  std::uint64_t device = 0;
  LayerOwner owner;
  std::optional<LayerOwner> shown_owner;  // where the view shows another one
  std::int64_t accessed_ns = 0;
  std::int64_t modified_ns = 0;
  std::optional<std::uint32_t> link_of;  // another name of this earlier entry: nothing of what follows
  std::string target;                    // of a symbolic link
  std::uint64_t size = 0;
  std::vector<LayerRun> runs;
  std::vector<ExtendedAttribute> attributes;
};
BEAM_STATE(LayerEntry, 1, path, mode, device, owner, shown_owner, accessed_ns, modified_ns, link_of, target, size, runs,
           attributes)

struct LayerStub {
  std::string place;
  std::string origin;
};
BEAM_STATE(LayerStub, 1, place, origin)

struct LayerState {
  std::vector<LayerEntry> entries;
  // rootfs::View::Memory
  std::vector<std::string> removed;
  std::vector<LayerStub> stubs;
};
BEAM_STATE(LayerState, 1, entries, removed, stubs)

// A descriptor of the sandbox's by which a file can be read, or -1: to open one with a lease would break that.
using Readable = std::function<int(dev_t device, ino_t inode)>;
// Nothing of the sandbox may run meanwhile.
[[nodiscard]] Result<> pack_layer(const rootfs::View& view, const Readable& readable, ImageWriter& image);

// None when the image is of a sandbox without a mount view. kDamaged: it is damaged.
[[nodiscard]] Result<std::optional<LayerState>> read_layer(const Image& image);
[[nodiscard]] Result<> check_layer(const LayerState& layer, std::uint64_t data_size);

// Makes the layer at `directory`, which must not be there yet; what has been made is left there on failure.
[[nodiscard]] Result<> unpack_layer(const Image& image, const LayerState& layer, const std::string& directory);
// Once the view is there again: what it knew besides.
void recall_layer(const LayerState& layer, rootfs::View& view);

}  // namespace beam::migrate
