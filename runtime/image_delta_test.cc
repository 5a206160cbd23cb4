#include "runtime/image_delta.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>

namespace beam::runtime {
namespace {

class ImageDelta : public testing::Test {
 protected:
  ImageDelta() : directory_(testing::TempDir() + "image-delta") { std::filesystem::create_directory(directory_); }
  ~ImageDelta() override { std::filesystem::remove_all(directory_); }

  static std::string random_bytes(std::size_t size, unsigned seed) {
    std::mt19937 random(seed);
    std::string bytes(size, 0);
    for (char& byte : bytes) {
      byte = static_cast<char>(random());
    }
    return bytes;
  }

  void put(const std::string& name, const std::string& bytes) {
    std::ofstream(directory_ + "/" + name, std::ios::binary) << bytes;
    files_["was/" + name] = bytes;
  }

  // What the other side makes of it; `fresh_` counts what had to be sent.
  std::string carry(const std::string& bytes) {
    const auto base = ImageBase::open(directory_, "was/");
    EXPECT_TRUE(base.ok());
    std::string made;
    fresh_ = 0;
    const auto split = base->split(
        bytes,
        [&](const std::string& name, std::uint64_t offset, std::uint64_t size) {
          made += files_.at(name).substr(offset, size);
          return success();
        },
        [&](std::string_view part) {
          made += part;
          fresh_ += part.size();
          return success();
        });
    EXPECT_TRUE(split.ok());
    return made;
  }

  std::string directory_;
  std::map<std::string, std::string> files_;
  std::size_t fresh_ = 0;
};

TEST_F(ImageDelta, SendsNothingOfWhatIsThere) {
  const std::string bytes = random_bytes(40 * ImageBase::kPage, 1);
  put("pages-0", bytes);
  EXPECT_EQ(carry(bytes), bytes);
  EXPECT_EQ(fresh_, 0U);
}

TEST_F(ImageDelta, SendsPagesThatHaveChanged) {
  std::string bytes = random_bytes(40 * ImageBase::kPage, 1);
  put("pages-0", bytes);
  bytes[7 * ImageBase::kPage + 3] ^= 1;
  bytes[8 * ImageBase::kPage] ^= 1;
  EXPECT_EQ(carry(bytes), bytes);
  EXPECT_EQ(fresh_, 2 * ImageBase::kPage);
}

TEST_F(ImageDelta, FindsWhatHasMoved) {
  const std::string one = random_bytes(20 * ImageBase::kPage, 1);
  const std::string two = random_bytes(20 * ImageBase::kPage, 2);
  put("pages-0", one);
  put("pages-1", two);
  const std::string fresh = random_bytes(3 * ImageBase::kPage, 3);
  const std::string bytes = two.substr(4 * ImageBase::kPage) + fresh + one;
  EXPECT_EQ(carry(bytes), bytes);
  EXPECT_EQ(fresh_, fresh.size());
}

TEST_F(ImageDelta, EndsAnywhere) {
  const std::string bytes = random_bytes(5 * ImageBase::kPage + 100, 1);
  put("objects", bytes);
  put("empty", "");
  EXPECT_EQ(carry(bytes), bytes);
  for (const std::size_t size : {std::size_t{0}, std::size_t{99}, std::size_t{4096}, std::size_t{5000}}) {
    EXPECT_EQ(carry(bytes.substr(0, size)), bytes.substr(0, size));
  }
  EXPECT_EQ(carry(bytes + bytes), bytes + bytes);
}

TEST_F(ImageDelta, StopsAtAnError) {
  put("pages-0", random_bytes(2 * ImageBase::kPage, 1));
  const auto base = ImageBase::open(directory_, "was/");
  ASSERT_TRUE(base.ok());
  const auto split = base->split(
      random_bytes(2 * ImageBase::kPage, 2), [](const std::string&, std::uint64_t, std::uint64_t) { return success(); },
      [](std::string_view) { return Result<>(Error(EPIPE, "gone")); });
  EXPECT_FALSE(split.ok());
}

TEST_F(ImageDelta, TellsPagesThatDiffer) {
  constexpr std::uint64_t kPage = ImageBase::kPage;
  const std::string was = random_bytes(20 * kPage, 7);
  std::string now = was + random_bytes(kPage + 100, 8);  // longer, and not by whole pages
  now[3 * kPage + 5] ^= 1;
  now[4 * kPage] ^= 1;
  now[9 * kPage] ^= 1;
  std::string made = was;
  made.resize(now.size());
  std::uint64_t size = 0;
  for (const Difference& part : differences(was, now, 2 * kPage)) {
    EXPECT_LE(part.size, 2 * kPage);
    made.replace(part.offset, part.size, now, part.offset, part.size);
    size += part.size;
  }
  EXPECT_EQ(made, now);
  EXPECT_EQ(size, 4 * kPage + 100);
  EXPECT_EQ(differences(now, was, kPage).size(), 3U);  // shorter: what is cut off is no difference
  EXPECT_TRUE(differences(was, was, kPage).empty());
  EXPECT_TRUE(differences("", "", kPage).empty());
}

}  // namespace
}  // namespace beam::runtime
