#include "runtime/image_argument.h"

#include "migrate/codec.h"

namespace beam::runtime {

int fail_image(const std::string& image, const Error& error, int no_such, int failed) {
  if (error.code() == ENOENT) {
    return fail(no_such, image + ": no such image");
  }
  if (error.code() == migrate::kDamaged || error.code() == ENOTDIR) {
    return fail(kExitDamaged, image + ": is damaged or no image: " + error.message());
  }
  return fail(failed, error.message());
}

}  // namespace beam::runtime
