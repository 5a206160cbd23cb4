#include "migrate/write_behind.h"

#include <gtest/gtest.h>

#include <cstring>
#include <future>
#include <string>

namespace beam::migrate {
namespace {

TEST(WriteBehind, KeepsFullBuffersWhenNothingFollows) {
  std::promise<void> go;
  const std::shared_future<void> going = go.get_future().share();
  std::string written;
  WriteBehind behind([&](const char* bytes, std::size_t size) -> Result<> {
    going.wait();
    written.append(bytes, size);
    return success();
  });
  std::string expected;
  for (const char letter : std::string("abcd")) {
    const auto room = behind.buffer();
    ASSERT_TRUE(room.ok());
    std::memset(room.value(), letter, WriteBehind::kBuffer);
    behind.put(WriteBehind::kBuffer);
    expected.append(WriteBehind::kBuffer, letter);
  }
  behind.put(0);  // all four are full
  go.set_value();
  EXPECT_TRUE(behind.finish().ok());
  EXPECT_TRUE(written == expected) << written.size() << " of " << expected.size() << " bytes";
}

}  // namespace
}  // namespace beam::migrate
