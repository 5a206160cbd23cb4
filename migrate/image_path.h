// Paths as an image names them: the workstation's, but what lies in the sandbox's private layer is named by its place
// there, as the layer of a thaw is another directory. No other path has that form: theirs are absolute.
#pragma once

#include <string>

#include "interpose/shared.h"

namespace beam::migrate {

[[nodiscard]] std::string to_image_path(const interpose::Shared& shared, const std::string& host);
// The path on this workstation, for this sandbox.
[[nodiscard]] std::string from_image_path(const interpose::Shared& shared, const std::string& image);

}  // namespace beam::migrate
