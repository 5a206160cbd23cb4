#include "rootfs/proc_listing.h"

#include <dirent.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

namespace beam::rootfs {
namespace {

using testing::ElementsAre;

std::vector<VirtualPid> ids(std::initializer_list<pid_t> values) {
  std::vector<VirtualPid> list;
  for (const pid_t value : values) {
    list.emplace_back(value);
  }
  return list;
}

struct Listed {
  std::vector<std::string> numbers;
  std::vector<std::string> others;
};

Listed list(UniqueFd fd) {
  Listed listed;
  DIR* directory = ::fdopendir(fd.release());
  while (const dirent* entry = ::readdir(directory)) {
    const std::string name(entry->d_name);
    if (name[0] == '.') {
      continue;
    }
    (std::isdigit(name[0]) != 0 ? listed.numbers : listed.others).push_back(name);
  }
  ::closedir(directory);
  return listed;
}

class ProcListingTest : public testing::Test {
 protected:
  void SetUp() override {
    char place[] = "/dev/shm/listing-test.XXXXXX";
    ASSERT_NE(::mkdtemp(place), nullptr);
    place_ = place;
    auto made = ProcListing::create(place_);
    ASSERT_TRUE(made.ok()) << made.error().message();
    listing_ = std::move(made).value();
  }
  void TearDown() override {
    listing_.reset();
    EXPECT_TRUE(std::filesystem::is_empty(place_));
    std::filesystem::remove_all(place_);
  }
  UniqueFd open(std::initializer_list<pid_t> values) {
    auto fd = listing_->open_root(ids(values), 0);
    EXPECT_TRUE(fd.ok());
    return std::move(fd).value();
  }
  std::string place_;
  std::unique_ptr<ProcListing> listing_;
};

TEST_F(ProcListingTest, ListsIdsInOrderAfterTheNamesOfProc) {
  Listed listed = list(open({1, 7, 10, 123}));
  EXPECT_THAT(listed.numbers, ElementsAre("1", "7", "10", "123"));
  std::sort(listed.others.begin(), listed.others.end());
  EXPECT_EQ(listed.others, listing_->names_of_root());
  EXPECT_THAT(listed.others, testing::IsSupersetOf({"self", "thread-self", "meminfo", "sys"}));
}

TEST_F(ProcListingTest, FollowsWhoComesAndGoes) {
  EXPECT_THAT(list(open({1, 2, 3})).numbers, ElementsAre("1", "2", "3"));
  const UniqueFd before = open({1, 2, 3});
  EXPECT_THAT(list(open({1, 3, 9})).numbers, ElementsAre("1", "3", "9"));
  EXPECT_THAT(list(open({1})).numbers, ElementsAre("1"));
  EXPECT_THAT(list(open({1, 5})).numbers, ElementsAre("1", "5"));
  EXPECT_THAT(list(open({1, 4, 5})).numbers, ElementsAre("1", "4", "5"));
}

// Both orders, on whichever file system this is: with the other one's assumed, everything comes reversed.
TEST_F(ProcListingTest, WhateverOrderTheFileSystemHas) {
  const auto real = listing_->order();
  for (const auto order : {ProcListing::Order::kOldestFirst, ProcListing::Order::kNewestFirst}) {
    listing_->assume_order(order);
    const auto numbers = [&](std::initializer_list<pid_t> values) {
      auto names = list(open(values)).numbers;
      if (order != real) {
        std::reverse(names.begin(), names.end());
      }
      return names;
    };
    EXPECT_THAT(numbers({100 + static_cast<pid_t>(order)}), testing::SizeIs(1));
    EXPECT_THAT(numbers({1, 2}), ElementsAre("1", "2"));
    EXPECT_THAT(numbers({1, 2, 3}), ElementsAre("1", "2", "3"));
    EXPECT_THAT(numbers({2, 3}), ElementsAre("2", "3"));
    EXPECT_THAT(numbers({1, 2, 3}), ElementsAre("1", "2", "3"));
    for (pid_t id = 10; id < 50; ++id) {
      EXPECT_THAT(numbers({2, id}), ElementsAre("2", std::to_string(id)));
    }
  }
}

TEST_F(ProcListingTest, KeepsItsInodeWhereAsked) {
  const auto inode = [](const UniqueFd& fd) {
    struct stat status {};
    EXPECT_EQ(::fstat(fd.get(), &status), 0);
    return status.st_ino;
  };
  const auto first = inode(open({1, 2}));
  auto again = listing_->open_root(ids({1, 3, 4}), 0, true);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(inode(*again), first);
  const Listed listed = list(std::move(again).value());
  EXPECT_THAT(listed.numbers, ElementsAre("1", "3", "4"));
  EXPECT_EQ(listed.others.size(), listing_->names_of_root().size());
}

TEST_F(ProcListingTest, LooksLikeProc) {
  const UniqueFd fd = open({1, 2});
  struct stat status {};
  ASSERT_EQ(::fstat(fd.get(), &status), 0);
  EXPECT_EQ(status.st_mode, S_IFDIR | 0555U);
  struct stat entry {};
  ASSERT_EQ(::fstatat(fd.get(), "self", &entry, AT_SYMLINK_NOFOLLOW), 0);
  EXPECT_TRUE(S_ISLNK(entry.st_mode));
  ASSERT_EQ(::fstatat(fd.get(), "meminfo", &entry, AT_SYMLINK_NOFOLLOW), 0);
  EXPECT_TRUE(S_ISREG(entry.st_mode));
  ASSERT_EQ(::fstatat(fd.get(), "2", &entry, AT_SYMLINK_NOFOLLOW), 0);
  EXPECT_TRUE(S_ISDIR(entry.st_mode));
}

TEST_F(ProcListingTest, ChangesByAProgramAreRepaired) {
  const UniqueFd fd = open({1, 2});
  ASSERT_EQ(::fchmod(fd.get(), 0755), 0);
  ASSERT_EQ(::unlinkat(fd.get(), "2", AT_REMOVEDIR), 0);
  ASSERT_EQ(::mkdirat(fd.get(), "3", 0755), 0);
  EXPECT_THAT(list(open({1, 3})).numbers, ElementsAre("1", "3"));
}

TEST_F(ProcListingTest, TasksOfManyProcesses) {
  for (pid_t id = 1; id < 300; ++id) {
    auto fd = listing_->open_tasks(VirtualPid(id), ids({id, id + 1}), 0);
    ASSERT_TRUE(fd.ok());
    EXPECT_THAT(list(std::move(fd).value()).numbers, ElementsAre(std::to_string(id), std::to_string(id + 1)));
    listing_->forget(VirtualPid(id));
  }
  const auto left = std::distance(std::filesystem::directory_iterator(listing_->path()), {});
  EXPECT_LT(left, 100);
}

TEST_F(ProcListingTest, OpenListingsForgetWhoIsGone) {
  auto tasks = listing_->open_tasks(VirtualPid(2), ids({2, 5}), 0);
  ASSERT_TRUE(tasks.ok());
  UniqueFd root = open({1, 2, 3});
  listing_->forget(VirtualPid(2));
  listing_->forget(VirtualPid(7));
  EXPECT_THAT(list(std::move(tasks).value()).numbers, ElementsAre());
  EXPECT_THAT(list(std::move(root)).numbers, ElementsAre("1", "3"));
  EXPECT_THAT(list(open({1, 3})).numbers, ElementsAre("1", "3"));
  EXPECT_THAT(list(open({1, 3, 4})).numbers, ElementsAre("1", "3", "4"));
}

TEST_F(ProcListingTest, KnowsItsOwnPaths) {
  const UniqueFd fd = open({1});
  const std::string link = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd.get()));
  EXPECT_EQ(listing_->shown(link), "/proc");
  EXPECT_EQ(listing_->shown(link + " (deleted)"), "/proc");
  auto tasks = listing_->open_tasks(VirtualPid(12), ids({12}), 0);
  ASSERT_TRUE(tasks.ok());
  EXPECT_EQ(listing_->shown(std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(tasks->get())).string()),
            "/proc/12/task");
  EXPECT_EQ(listing_->shown(listing_->path()), std::nullopt);
  EXPECT_EQ(listing_->shown(listing_->path() + "/lock"), std::nullopt);
  EXPECT_EQ(listing_->shown("/proc"), std::nullopt);
}

TEST_F(ProcListingTest, RemovesWhatAKilledOneLeft) {
  const pid_t child = ::fork();
  if (child == 0) {
    auto other = ProcListing::create(place_);
    (void)(*other)->open_root(ids({1, 2}), 0);
    ::_exit(0);  // no destructor, as after a SIGKILL
  }
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  const auto count = [&] { return std::distance(std::filesystem::directory_iterator(place_), {}); };
  EXPECT_EQ(count(), 2);
  auto next = ProcListing::create(place_);
  ASSERT_TRUE(next.ok());
  EXPECT_EQ(count(), 2);  // its own, and that of the test, which lives
  EXPECT_THAT(list(open({1})).numbers, ElementsAre("1"));
}

TEST(ProcListing, NamesThePlaceThatCannotBeUsed) {
  const auto made = ProcListing::create("/proc");
  ASSERT_FALSE(made.ok());
  EXPECT_THAT(made.error().message(), testing::HasSubstr("/proc/beam-proc."));
}

}  // namespace
}  // namespace beam::rootfs
