#include "base/check.h"

#include <cstdio>
#include <cstdlib>

#include "base/log.h"

namespace beam {

void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "beam: broken invariant: %s at %s:%d\nlast log lines:\n%s", condition, file, line,
               log::recent().c_str());
  std::abort();
}

}  // namespace beam
