#include "migrate/image_path.h"

#include <string_view>

#include "rootfs/view.h"

namespace beam::migrate {
namespace {

constexpr std::string_view kLayer = "layer:";

}  // namespace

std::string to_image_path(const interpose::Shared& shared, const std::string& host) {
  if (shared.view) {
    const std::string& layer = shared.view->layer();
    if (host.starts_with(layer) && host.size() > layer.size() && host[layer.size()] == '/') {
      return std::string(kLayer) + host.substr(layer.size());
    }
  }
  return host;
}

std::string from_image_path(const interpose::Shared& shared, const std::string& image) {
  return shared.view && image.starts_with(kLayer) ? shared.view->layer() + image.substr(kLayer.size()) : image;
}

}  // namespace beam::migrate
