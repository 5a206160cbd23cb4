// beam verify: whether an image is whole.
#include "migrate/layer.h"
#include "runtime/description.h"
#include "runtime/image_argument.h"
#include "runtime/verb.h"

namespace beam::runtime {

int verb_verify(const std::vector<std::string>& arguments) {
  VerbLine line("verify", "Checks an image: its checksums, and what in it refers to what.", "[OPTIONS] IMAGE",
                kExitUsage);
  std::string name;
  line.app().add_option("IMAGE", name, "The image")->required();
  if (const auto done = line.parse(arguments)) {
    return *done;
  }
  const auto image = migrate::Image::open(name);
  if (!image.ok()) {
    return fail_image(name, image.error());
  }
  if (const auto verified = image->verify(); !verified.ok()) {
    return fail_image(name, verified.error(), kExitDamaged);
  }
  if (const auto state = image->load(); !state.ok()) {
    return fail_image(name, state.error(), kExitDamaged);
  }
  if (const auto layer = migrate::read_layer(*image); !layer.ok()) {
    return fail_image(name, layer.error(), kExitDamaged);
  }
  if (const auto description = describe(*image); !description.ok()) {
    return fail_image(name, description.error(), kExitDamaged);
  }
  return kExitDone;
}

}  // namespace beam::runtime
