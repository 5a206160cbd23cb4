#include "migrate/extended_state.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <tuple>

namespace beam::migrate {
namespace {

using Area = std::vector<std::uint8_t>;
using Layout = std::vector<ExtendedComponent>;

// As CPUID tells them of two processors.
const Layout kIntel{{2, 576, 256}, {5, 1088, 64}, {6, 1152, 512}, {7, 1664, 1024}, {9, 2688, 8}};
const Layout kAmd{{2, 576, 256}, {5, 832, 64}, {6, 896, 512}, {7, 1408, 1024}, {9, 2432, 8}};
constexpr std::uint64_t kAll = 0x2e7;

Area area_of(std::size_t size, std::uint64_t supported, std::uint64_t in_use) {
  Area area(size);
  std::memcpy(area.data() + 464, &supported, sizeof supported);
  std::memcpy(area.data() + 512, &in_use, sizeof in_use);
  return area;
}

std::uint64_t in_use(const Area& area) {
  std::uint64_t value = 0;
  std::memcpy(&value, area.data() + 512, sizeof value);
  return value;
}

TEST(ExtendedState, OfThisProcessorIsAsItIs) {
  Area frozen = area_of(2696, kAll, kAll);
  frozen[1200] = 7;
  const auto adapted = adapt_extended(frozen, kIntel, area_of(2696, kAll, 0), kIntel);
  ASSERT_TRUE(adapted.ok());
  EXPECT_EQ(adapted.value(), frozen);
}

TEST(ExtendedState, MovesComponents) {
  Area frozen = area_of(2440, kAll, kAll);
  frozen[100] = 1;
  frozen[600] = 2;
  frozen[832 + 3] = 3;
  frozen[896 + 511] = 4;
  frozen[1408 + 1023] = 5;
  frozen[2432] = 6;
  const auto adapted = adapt_extended(frozen, kAmd, area_of(2696, kAll, 3), kIntel);
  ASSERT_TRUE(adapted.ok());
  const Area& area = adapted.value();
  EXPECT_EQ(area.size(), 2696U);
  EXPECT_EQ(in_use(area), kAll);
  EXPECT_EQ((std::vector<int>{area[100], area[600], area[1088 + 3], area[1152 + 511], area[1664 + 1023], area[2688]}),
            (std::vector<int>{1, 2, 3, 4, 5, 6}));
}

TEST(ExtendedState, OfAnOldImageIsFoundByItsSize) {
  Area of_amd = area_of(2432, 0xe7, 0xa2);
  of_amd[832] = 3;
  Area of_intel = area_of(2688, 0xe7, 0xa2);
  of_intel[1088] = 3;
  for (const auto& [frozen, local, size] : {std::tuple{of_amd, kIntel, 2696}, std::tuple{of_intel, kAmd, 2440}}) {
    const auto adapted = adapt_extended(frozen, {}, area_of(static_cast<std::size_t>(size), kAll, 0), local);
    ASSERT_TRUE(adapted.ok());
    EXPECT_EQ(adapted.value()[local[1].offset], 3);
  }
  Area frozen = area_of(2440, kAll, 0x207);
  frozen[600] = 2;
  const auto adapted = adapt_extended(frozen, {}, area_of(832, 7, 0), {{2, 576, 256}});
  ASSERT_TRUE(adapted.ok());
  EXPECT_EQ(adapted.value()[600], 2);
  EXPECT_EQ(in_use(adapted.value()), 7U) << "without protection keys";
}

TEST(ExtendedState, RefusesWhatIsNotToBeHad) {
  const Area small = area_of(832, 7, 0);
  EXPECT_EQ(adapt_extended(area_of(2696, kAll, 0x27), kIntel, small, {{2, 576, 256}}).error().code(), ENODEV);
  EXPECT_EQ(adapt_extended(area_of(2700, kAll, 0x27), {}, area_of(2440, kAll, 0), kAmd).error().code(), ENODEV)
      << "no layout to find it by";
  EXPECT_EQ(adapt_extended(area_of(600, kAll, 4), kIntel, small, {{2, 576, 256}}).error().code(), ENODEV) << "cut off";
  EXPECT_EQ(adapt_extended(Area(100), kIntel, small, {{2, 576, 256}}).error().code(), EBADMSG);
}

TEST(ExtendedState, ThisProcessorsLayoutBeginsWithAvx) {
  const Layout layout = extended_layout();
  ASSERT_FALSE(layout.empty());
  EXPECT_EQ((std::vector<unsigned>{layout[0].index, layout[0].offset, layout[0].size}),
            (std::vector<unsigned>{2, 576, 256}));
}

}  // namespace
}  // namespace beam::migrate
