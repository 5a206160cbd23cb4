// Images that a command line names.
#pragma once

#include <string>

#include "base/result.h"
#include "runtime/verb.h"

namespace beam::runtime {

// Says why `image` can't be used; returns kExitDamaged when it is damaged, `no_such` when there is none, else `failed`.
int fail_image(const std::string& image, const Error& error, int no_such = kExitNoSuch, int failed = kExitFailed);

}  // namespace beam::runtime
