// The XSAVE area of a thread (Intel SDM volume 1, chapter 13; AMD APM volume 2, 11.5) as ptrace(2) gives and takes it
// with NT_X86_XSTATE. Where in it a component lies, and how large the area is, differs between processors; what the
// components hold does not.
#pragma once

#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "migrate/state.h"

namespace beam::migrate {

// The components of this processor from the third on (AVX); the first two, x87 and SSE, lie at one place everywhere.
// Asked for once: in a virtual machine each CPUID leaves it.
[[nodiscard]] const std::vector<ExtendedComponent>& extended_layout();

// A stopped thread's.
[[nodiscard]] Result<std::vector<std::uint8_t>> read_extended_state(HostPid tid);

// `frozen`, in whose processor's layout it is, as an area of this one: of the size, and with the components, of `here`,
// which is any thread's area and has the layout `local`. An image of before layouts were kept has none: its size
// tells. Fails with ENODEV for a component in use that is not to be had here. Protection keys are dropped where
// there are none: no memory has one then.
[[nodiscard]] Result<std::vector<std::uint8_t>> adapt_extended(const std::vector<std::uint8_t>& frozen,
                                                               const std::vector<ExtendedComponent>& layout,
                                                               const std::vector<std::uint8_t>& here,
                                                               const std::vector<ExtendedComponent>& local);

}  // namespace beam::migrate
