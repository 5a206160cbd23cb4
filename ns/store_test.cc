// What every store of names does.
#include "ns/store.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <string>
#include <thread>

#include "ns/group.h"

namespace beam::ns {
namespace {

class Directory {
 public:
  Directory() {
    std::string path = std::filesystem::temp_directory_path() / "store-XXXXXX";
    path_ = ::mkdtemp(path.data());
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// A store, and how to come to the same one from another place.
struct Backend {
  const char* name;
  std::function<Result<std::shared_ptr<Store>>(const std::string& directory)> open;
};

class StoreTest : public testing::TestWithParam<Backend> {
 protected:
  std::shared_ptr<Store> open() {
    auto store = GetParam().open(directory_.path());
    EXPECT_TRUE(store.ok()) << (store.ok() ? "" : store.error().message());
    return *store;
  }
  static bool put(Store& store, const std::string& key, const std::string& value, std::int64_t revision = -1,
                  LeaseId lease = kNoLease) {
    Transaction transaction;
    if (revision >= 0) {
      transaction.when = {{key, revision}};
    }
    transaction.puts = {{key, value, lease}};
    const auto done = store.commit(transaction);
    EXPECT_TRUE(done.ok()) << (done.ok() ? "" : done.error().message());
    return done.ok() && *done;
  }
  static std::string value(Store& store, const std::string& key) {
    const auto found = store.get(key);
    EXPECT_TRUE(found.ok());
    return found.ok() && *found ? (*found)->value : "(none)";
  }
  // Runs it in a process of its own, which begins with nothing open.
  static pid_t apart(const std::function<void()>& work) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      work();
      ::_exit(testing::Test::HasFailure() ? 1 : 0);
    }
    return pid;
  }
  static int status_of(pid_t pid) {
    int status = -1;
    ::waitpid(pid, &status, 0);
    return status;
  }
  Directory directory_;
};

TEST_P(StoreTest, KeepsWhatOneWritesForAll) {
  const auto one = open();
  const auto other = open();
  EXPECT_EQ(value(*other, "a"), "(none)");
  EXPECT_TRUE(put(*one, "a", std::string("1\0\xff", 3)));
  EXPECT_EQ(value(*other, "a"), std::string("1\0\xff", 3));
  EXPECT_TRUE(put(*other, "a", "2"));
  EXPECT_EQ(value(*one, "a"), "2");
}

TEST_P(StoreTest, ListsByPrefixInOrder) {
  const auto store = open();
  for (const char* key : {"g/b", "g/a", "g", "h/a", "g0", "g/\xc3\xa4"}) {
    EXPECT_TRUE(put(*store, key, key));
  }
  const auto found = store->list("g/");
  ASSERT_TRUE(found.ok());
  std::vector<std::string> keys;
  for (const Entry& entry : *found) {
    keys.push_back(entry.key);
  }
  EXPECT_EQ(keys, (std::vector<std::string>{"g/a", "g/b", "g/\xc3\xa4"}));
}

TEST_P(StoreTest, ATransactionIsDoneAsAWholeOrNotAtAll) {
  const auto store = open();
  EXPECT_TRUE(put(*store, "a", "1", 0));
  EXPECT_FALSE(put(*store, "a", "2", 0));
  const auto before = store->get("a");
  Transaction both;
  both.when = {{"a", (*before)->revision}, {"b", 7}};
  both.puts = {{"a", "3", kNoLease}, {"b", "3", kNoLease}};
  EXPECT_FALSE(*store->commit(both));
  EXPECT_EQ(value(*store, "a") + value(*store, "b"), "1(none)");
  both.when = {{"a", (*before)->revision}, {"b", 0}};
  both.removals = {"a"};
  both.puts = {{"b", "3", kNoLease}};
  EXPECT_TRUE(*store->commit(both));
  EXPECT_EQ(value(*store, "a") + value(*store, "b"), "(none)3");
  EXPECT_TRUE(put(*store, "a", "4", 0));
  EXPECT_GT((*store->get("a"))->revision, (*before)->revision);
}

TEST_P(StoreTest, AnEntryGoesWithItsHolder) {
  const auto store = open();
  {
    const auto lease = store->grant();
    ASSERT_TRUE(lease.ok());
    EXPECT_TRUE(put(*store, "a", "1", 0, (*lease)->id()));
    EXPECT_EQ(value(*open(), "a"), "1");
    EXPECT_FALSE(put(*open(), "a", "2", 0));
  }
  EXPECT_EQ(value(*store, "a"), "(none)");
  EXPECT_TRUE(put(*store, "a", "2", 0));
}

TEST_P(StoreTest, AKilledHolderLeavesNothing) {
  std::array<int, 2> told{};
  ASSERT_EQ(::pipe(told.data()), 0);
  const pid_t holder = apart([&] {
    const auto store = open();
    const auto lease = store->grant();
    put(*store, "a", "1", 0, (*lease)->id());
    EXPECT_EQ(::write(told[1], "x", 1), 1);
    ::pause();
  });
  char byte = 0;
  ASSERT_EQ(::read(told[0], &byte, 1), 1);
  const auto store = open();
  EXPECT_EQ(value(*store, "a"), "1");
  ::kill(holder, SIGKILL);
  status_of(holder);
  EXPECT_EQ(value(*store, "a"), "(none)");
  ::close(told[0]);
  ::close(told[1]);
}

TEST_P(StoreTest, ManyProcessesCountTogether) {
  constexpr int kProcesses = 8;
  constexpr int kTimes = 50;
  std::vector<pid_t> processes;
  for (int i = 0; i < kProcesses; ++i) {
    processes.push_back(apart([&] {
      const auto store = open();
      for (int done = 0; done < kTimes;) {
        const auto now = store->get("count");
        ASSERT_TRUE(now.ok()) << now.error().message();
        const int count = *now ? std::stoi((*now)->value) : 0;
        done += put(*store, "count", std::to_string(count + 1), *now ? (*now)->revision : 0) ? 1 : 0;
      }
    }));
  }
  for (const pid_t pid : processes) {
    EXPECT_EQ(status_of(pid), 0);
  }
  EXPECT_EQ(value(*open(), "count"), std::to_string(kProcesses * kTimes));
}

// Killed at any moment, a writer leaves all of a transaction or nothing.
TEST_P(StoreTest, AKilledWriterLeavesWholeTransactions) {
  for (int round = 0; round < 10; ++round) {
    std::array<int, 2> told{};
    ASSERT_EQ(::pipe(told.data()), 0);
    const pid_t writer = apart([&] {
      const auto store = open();
      for (int i = 0;; ++i) {
        Transaction both;
        both.puts = {{"one", std::to_string(i), kNoLease}, {"two", std::to_string(i), kNoLease}};
        (void)store->commit(both);
        if (i == round * 7) {
          EXPECT_EQ(::write(told[1], "x", 1), 1);
        }
      }
    });
    char byte = 0;
    ASSERT_EQ(::read(told[0], &byte, 1), 1);
    ::kill(writer, SIGKILL);
    status_of(writer);
    const auto store = open();
    EXPECT_EQ(value(*store, "one"), value(*store, "two"));
    EXPECT_NE(value(*store, "one"), "(none)");
    ::close(told[0]);
    ::close(told[1]);
  }
}

TEST_P(StoreTest, ThreadsShareOne) {
  const auto store = open();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (int n = 0; n < 50; ++n) {
        put(*store, "t" + std::to_string(i), std::to_string(n));
        EXPECT_EQ(value(*store, "t" + std::to_string(i)), std::to_string(n));
      }
    });
  }
  for (auto& thread : threads) {
    thread.join();
  }
}

TEST_P(StoreTest, AGroupHasEachNumberAndNameOnce) {
  const auto store = open();
  const auto one = Group::join(store, "g", {"one", "", "here", 0});
  const auto two = Group::join(store, "g", {"two", "", "here", 0});
  ASSERT_TRUE(one.ok() && two.ok());
  EXPECT_EQ((*one)->self().number, 1U);
  EXPECT_EQ((*two)->self().number, 2U);
  const auto same_name = Group::join(store, "g", {"one", "", "here", 0});
  EXPECT_EQ(same_name.ok() ? 0 : same_name.error().code(), EEXIST);
  const auto same_number = Group::join(store, "g", {"three", "", "here", 2});
  EXPECT_EQ(same_number.ok() ? 0 : same_number.error().code(), EADDRINUSE);
  EXPECT_EQ((*(*one)->members()).size(), 2U);
  const HostIndex first = (*one)->take_index();
  const HostIndex second = (*two)->take_index();
  EXPECT_EQ(block_of(first.value()), block_of(second.value()));
  (*two)->leave();
  EXPECT_EQ((*(*one)->members()).size(), 1U);
  const auto elsewhere = Group::join(store, "other", {"one", "", "here", 0});
  ASSERT_TRUE(elsewhere.ok());
  EXPECT_NE(block_of((*elsewhere)->take_index().value()), block_of(first.value()));
}

TEST_P(StoreTest, ABlockThatSomebodyElseHasIsLeft) {
  const auto store = open();
  std::uint32_t block = 0;
  {
    auto one = Group::join(store, "g", {"one", "", "here", 0});
    ASSERT_TRUE(one.ok());
    block = block_of((*one)->take_index().value());
  }
  const auto foreign = HostIndex::claim(block, 5, random_token());
  ASSERT_TRUE(foreign.ok());
  const auto again = Group::join(store, "g", {"one", "", "here", 0});
  ASSERT_TRUE(again.ok());
  EXPECT_NE(block_of((*again)->take_index().value()), block);
}

TEST_P(StoreTest, AMovedPortIsFoundByTheGroup) {
  const auto store = open();
  const auto one = Group::join(store, "g", {"one", "", "here", 0});
  const auto two = Group::join(store, "g", {"two", "", "here", 0});
  const HostEndpoint place{part_address(Part::kMoved, 77), 40000};
  ASSERT_TRUE((*one)->publish(IPPROTO_TCP, {IpAddress(), 8080, false, place}).ok());
  const std::uint32_t address = NetworkSpace::address_of_member(1);
  EXPECT_EQ((*two)->find(IPPROTO_TCP, {IpAddress::v4(address), 8080}), place);
  EXPECT_EQ((*two)->find(IPPROTO_TCP, {NetworkSpace::v6_of(address), 8080}), place);
  EXPECT_EQ((*two)->find(IPPROTO_UDP, {IpAddress::v4(address), 8080}), std::nullopt);
  (*one)->leave();
  EXPECT_EQ((*two)->find(IPPROTO_TCP, {IpAddress::v4(address), 8080}), std::nullopt);
}

INSTANTIATE_TEST_SUITE_P(All, StoreTest, testing::Values(Backend{"embedded", open_embedded_store}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(EmbeddedStore, ADamagedFileIsNamed) {
  const Directory directory;
  {
    std::FILE* file = std::fopen((directory.path() + "/names.db").c_str(), "w");
    std::fputs("this is no database, and long enough to be looked at as one", file);
    std::fclose(file);
  }
  const auto store = open_embedded_store(directory.path());
  ASSERT_FALSE(store.ok());
  EXPECT_NE(store.error().message().find("names.db"), std::string::npos);
  EXPECT_NE(store.error().message().find("remove the file"), std::string::npos);
}

}  // namespace
}  // namespace beam::ns
