#include "migrate/extended_state.h"

#include <cpuid.h>
#include <elf.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>

namespace beam::migrate {
namespace {

constexpr std::size_t kLegacy = 464;     // x87 and SSE
constexpr std::size_t kSupported = 464;  // XCR0: what the kernel has switched on (asm/user.h, USER_XSTATE_XCR0_WORD)
constexpr std::size_t kInUse = 512;      // XSTATE_BV; XCOMP_BV follows
constexpr std::size_t kHeaderEnd = 576;
constexpr unsigned kLeaf = 0xd;
constexpr unsigned kAvx = 2;
constexpr unsigned kProtectionKeys = 9;
constexpr unsigned kComponents = 63;

std::uint64_t word_at(const std::vector<std::uint8_t>& area, std::size_t place) {
  std::uint64_t word = 0;
  std::memcpy(&word, area.data() + place, sizeof word);
  return word;
}

const ExtendedComponent* find(const std::vector<ExtendedComponent>& layout, unsigned index) {
  const auto found =
      std::find_if(layout.begin(), layout.end(), [index](const auto& component) { return component.index == index; });
  return found != layout.end() ? &*found : nullptr;
}

using Layout = std::vector<ExtendedComponent>;

// For images of before layouts were kept: the two that there are, of which Intel's leaves gaps and AMD's has none up to
// the protection keys. An area ends with its last component.
Layout layout_by_size(const std::vector<std::uint8_t>& area) {
  const std::array<Layout, 2> known{Layout{{2, 576, 256},
                                           {3, 960, 64},
                                           {4, 1024, 64},
                                           {5, 1088, 64},
                                           {6, 1152, 512},
                                           {7, 1664, 1024},
                                           {9, 2688, 8},
                                           {17, 2752, 64},
                                           {18, 2816, 8192}},
                                    Layout{{2, 576, 256}, {5, 832, 64}, {6, 896, 512}, {7, 1408, 1024}, {9, 2432, 8}}};
  for (const Layout& layout : known) {
    std::size_t end = kHeaderEnd;
    for (const ExtendedComponent& component : layout) {
      if ((word_at(area, kSupported) & (1ULL << component.index)) != 0) {
        end = component.offset + component.size;
      }
    }
    if (end == area.size()) {
      return layout;
    }
  }
  return {};
}

std::vector<ExtendedComponent> read_layout() {
  std::vector<ExtendedComponent> layout;
  for (unsigned index = kAvx; index < kComponents; ++index) {
    unsigned size = 0;
    unsigned offset = 0;
    unsigned flags = 0;
    unsigned unused = 0;
    // Bit 0 of ECX: a supervisor component, which no area of a program has.
    if (__get_cpuid_count(kLeaf, index, &size, &offset, &flags, &unused) != 0 && size != 0 && (flags & 1U) == 0) {
      layout.push_back({index, offset, size});
    }
  }
  return layout;
}

bool fits(const ExtendedComponent* component, const std::vector<std::uint8_t>& area) {
  return component != nullptr && component->offset >= kHeaderEnd && component->offset <= area.size() &&
         component->size <= area.size() - component->offset;
}

}  // namespace

Result<std::vector<std::uint8_t>> read_extended_state(HostPid tid) {
  std::vector<std::uint8_t> area(64 << 10);  // AMX's tiles take 8 KiB of it
  iovec buffer{area.data(), area.size()};
  if (::ptrace(PTRACE_GETREGSET, tid.value(), NT_X86_XSTATE, &buffer) != 0) {
    return Error::from_errno("read the extended registers");
  }
  area.resize(buffer.iov_len);
  return area;
}

const std::vector<ExtendedComponent>& extended_layout() {
  static const std::vector<ExtendedComponent> kLayout = read_layout();
  return kLayout;
}

Result<std::vector<std::uint8_t>> adapt_extended(const std::vector<std::uint8_t>& frozen,
                                                 const std::vector<ExtendedComponent>& layout,
                                                 const std::vector<std::uint8_t>& here,
                                                 const std::vector<ExtendedComponent>& local) {
  if (frozen.size() < kHeaderEnd || here.size() < kHeaderEnd) {
    return Error(EBADMSG, "an XSAVE area of " + std::to_string(frozen.size()) + " bytes");
  }
  const bool is_same =
      frozen.size() == here.size() && word_at(frozen, kSupported) == word_at(here, kSupported) &&
      (layout.empty() || std::equal(layout.begin(), layout.end(), local.begin(), local.end(),
                                    [](const ExtendedComponent& a, const ExtendedComponent& b) {
                                      return a.index == b.index && a.offset == b.offset && a.size == b.size;
                                    }));
  if (is_same) {
    return frozen;
  }
  const Layout places = layout.empty() ? layout_by_size(frozen) : layout;
  std::vector<std::uint8_t> adapted = here;
  std::copy_n(frozen.begin(), kLegacy, adapted.begin());
  std::uint64_t in_use = word_at(frozen, kInUse);
  for (unsigned index = kAvx; index < kComponents; ++index) {
    const std::uint64_t bit = 1ULL << index;
    if ((in_use & bit) == 0) {
      continue;
    }
    const ExtendedComponent* to = find(local, index);
    if ((word_at(here, kSupported) & bit) == 0 || !fits(to, here)) {
      if (index == kProtectionKeys) {
        in_use &= ~bit;
        continue;
      }
      return Error(ENODEV, "XSAVE component " + std::to_string(index) + ", which this processor does not have");
    }
    const ExtendedComponent* from = find(places, index);
    if (!fits(from, frozen) || from->size != to->size) {
      return Error(ENODEV, "XSAVE component " + std::to_string(index) + ", whose place in the image is not known");
    }
    std::copy_n(frozen.begin() + from->offset, from->size, adapted.begin() + to->offset);
  }
  const std::uint64_t header[2] = {in_use, 0};
  std::memcpy(adapted.data() + kInUse, header, sizeof header);
  return adapted;
}

}  // namespace beam::migrate
