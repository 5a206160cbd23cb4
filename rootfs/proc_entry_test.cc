#include "rootfs/proc_entry.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

namespace beam::rootfs {
namespace {

TEST(EnterProc, FindsEveryWayIn) {
  std::size_t prefix = 0;
  EXPECT_EQ(enter_proc("/proc", prefix), "");
  EXPECT_EQ(enter_proc("/proc/self/fd", prefix), "/self/fd");
  EXPECT_EQ(enter_proc("//proc//1", prefix), "//1");
  EXPECT_EQ(enter_proc("/./proc/.", prefix), "/.");
  EXPECT_EQ(prefix, 0U);
  EXPECT_EQ(enter_proc("/usr/../proc/1", prefix), "/1");
  EXPECT_EQ(prefix, std::string_view("/usr/../proc").size());
  EXPECT_EQ(enter_proc("/../proc/1", prefix), "/1");
  EXPECT_EQ(enter_proc("/usr/lib/../../proc", prefix), "");
  EXPECT_EQ(enter_proc("/proc/../proc/1", prefix), "/../proc/1");
}

TEST(EnterProc, LeavesOthersAlone) {
  std::size_t prefix = 0;
  for (const char* path :
       {"", "/", "proc", "proc/1", "/usr/proc", "/procs", "/usr/lib/../proc", "/.", "/..", "/usr/.."}) {
    EXPECT_FALSE(enter_proc(path, prefix)) << path;
  }
}

TEST(EnterProc, ByLinks) {
  char made[] = "/tmp/links-test.XXXXXX";
  ASSERT_NE(::mkdtemp(made), nullptr);
  const std::string place(made);
  const auto link = [&](const char* target, const char* name) {
    ASSERT_EQ(::symlink(target, (place + "/" + name).c_str()), 0);
  };
  link("/proc", "proc");
  link("/proc/self", "me");
  link("me/fd", "fds");
  link("../../proc/1", "first");
  link("loop", "loop");
  link("/usr/lib", "lib");
  EXPECT_EQ(enter_proc_by_links(place, "proc", true), "");
  EXPECT_EQ(enter_proc_by_links(place, "proc", false), std::nullopt);
  EXPECT_EQ(enter_proc_by_links(place, "proc/", false), "/");
  EXPECT_EQ(enter_proc_by_links(place, "me/stat", false), "/self/stat");
  EXPECT_EQ(enter_proc_by_links(place, "fds/3", true), "/self/fd/3");
  EXPECT_EQ(enter_proc_by_links("/", place + "/first/stat", true), "/1/stat");
  EXPECT_EQ(enter_proc_by_links("/", "proc/1", true), "/1");
  EXPECT_EQ(enter_proc_by_links(place, "lib/../../proc/1", true), "/1");
  EXPECT_EQ(enter_proc_by_links(place, "../proc/1", true), std::nullopt);
  EXPECT_EQ(enter_proc_by_links(place, "loop/x", true), std::nullopt);
  EXPECT_EQ(enter_proc_by_links(place, "none/proc", true), std::nullopt);
  EXPECT_EQ(enter_proc_by_links(place, "lib/x/../../proc", true), std::nullopt);
  std::filesystem::remove_all(place);
}

TEST(EnterProc, LinksThatMayLeadThere) {
  for (const char* target : {"/proc", "../proc/1", "proc", "a/../..//proc/"}) {
    EXPECT_TRUE(link_may_lead_to_proc(target)) << target;
  }
  for (const char* target : {"", "/", "process.h", "/usr/lib", "../procfs/x"}) {
    EXPECT_FALSE(link_may_lead_to_proc(target)) << target;
  }
}

TEST(RelativePaths, OfProcOnly) {
  const std::vector<std::string> names{"meminfo", "self", "uptime"};
  for (const char* path :
       {".", "..", "../x", "17", "17/stat", "stat", "./stat", "self/fd", "meminfo", "x/../stat", "task"}) {
    EXPECT_TRUE(relative_may_concern_proc(path, names)) << path;
  }
  for (const char* path : {"", "x", "Makefile", "17a", "src/main.cc", "stat.c"}) {
    EXPECT_FALSE(relative_may_concern_proc(path, names)) << path;
  }
}

}  // namespace
}  // namespace beam::rootfs
