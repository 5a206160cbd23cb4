#include "rootfs/proc_path.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/unique_fd.h"

namespace beam::rootfs {
namespace {

using Kind = ProcNode::Kind;

// A sandbox of this process as 5 with a second thread 6, and of its parent as 2.
class FakeTasks : public ProcTasks {
 public:
  FakeTasks() {
    const auto own = HostPid(::getpid());
    list_ = {{own, own, VirtualPid(5), VirtualPid(5)},
             {HostPid(kThread), own, VirtualPid(6), VirtualPid(5)},
             {HostPid(::getppid()), HostPid(::getppid()), VirtualPid(2), VirtualPid(2)}};
  }
  std::optional<ProcTaskId> find(VirtualPid id) const override {
    for (const auto& task : list_) {
      if (task.id == id) {
        return task;
      }
    }
    return std::nullopt;
  }
  std::optional<ProcTaskId> find(HostPid host) const override {
    for (const auto& task : list_) {
      if (task.host == host) {
        return task;
      }
    }
    return std::nullopt;
  }
  std::optional<std::string> listing_at(std::string_view path) const override {
    return path == "/snapshots/proc" ? std::optional<std::string>("/proc") : std::nullopt;
  }

  static constexpr pid_t kThread = 4194000;

 private:
  std::vector<ProcTaskId> list_;
};

class ProcWalkTest : public testing::Test {
 protected:
  ProcNode walk(std::string_view rest, bool follow = true, std::string_view base = "/proc", bool native = true) {
    const auto caller = tasks_.find(VirtualPid(6));
    return ProcWalk(tasks_, *caller).walk(base, native, rest, follow);
  }
  std::string host(std::string_view path) { return "/proc/" + std::to_string(::getpid()) + std::string(path); }
  FakeTasks tasks_;
};

TEST_F(ProcWalkTest, Root) {
  EXPECT_EQ(walk("").kind, Kind::kRoot);
  EXPECT_EQ(walk("/./").kind, Kind::kRoot);
  EXPECT_EQ(walk("/self/..").kind, Kind::kRoot);
  EXPECT_EQ(walk("/self/task/../../").kind, Kind::kRoot);
  const ProcNode node = walk("/meminfo");
  EXPECT_EQ(node.kind, Kind::kPlain);
  EXPECT_TRUE(node.native);
  EXPECT_EQ(node.host, "/proc/meminfo");
}

TEST_F(ProcWalkTest, IdsOutsideDoNotExist) {
  for (const std::string& path : {"/" + std::to_string(::getpid()), std::string("/1"), std::string("/05"),
                                  std::string("/99999999999"), std::string("/0"), std::string("/self/task/2")}) {
    const ProcNode node = walk(path + "/status");
    EXPECT_EQ(node.kind, Kind::kError) << path;
    EXPECT_EQ(node.error, ENOENT) << path;
  }
}

TEST_F(ProcWalkTest, ProcessesByTheirVirtualId) {
  ProcNode node = walk("/5");
  EXPECT_EQ(node.kind, Kind::kPlain);
  EXPECT_FALSE(node.native);
  EXPECT_EQ(node.host, host(""));
  EXPECT_EQ(node.shown, "/proc/5");
  node = walk("/5/status");
  EXPECT_EQ(node.kind, Kind::kText);
  EXPECT_EQ(node.file, ProcFile::kStatus);
  EXPECT_EQ(node.host, host("/status"));
  node = walk("/5/maps");
  EXPECT_EQ(node.kind, Kind::kPlain);
  EXPECT_FALSE(node.native);
  node = walk("/5/task");
  EXPECT_EQ(node.kind, Kind::kTaskList);
  node = walk("/5/task/6/children");
  EXPECT_EQ(node.file, ProcFile::kChildren);
  EXPECT_EQ(node.host, host("/task/4194000/children"));
  EXPECT_EQ(node.shown, "/proc/5/task/6/children");
  node = walk("/6/stat");
  EXPECT_EQ(node.host, "/proc/4194000/stat");
}

TEST_F(ProcWalkTest, SelfIsTheCaller) {
  ProcNode node = walk("/self", false);
  EXPECT_EQ(node.kind, Kind::kSelf);
  EXPECT_EQ(node.target, "5");
  node = walk("/thread-self", false);
  EXPECT_EQ(node.target, "5/task/6");
  node = walk("/self/", false);
  EXPECT_EQ(node.kind, Kind::kPlain);
  EXPECT_TRUE(node.native);
  EXPECT_EQ(node.shown, "/proc/5");
  node = walk("/self/maps");
  EXPECT_TRUE(node.native);
  node = walk("/self/../5/maps");
  EXPECT_FALSE(node.native);
  node = walk("/thread-self/stat");
  EXPECT_EQ(node.file, ProcFile::kStat);
  EXPECT_EQ(node.shown, "/proc/5/task/6/stat");
  node = walk("/mounts");
  EXPECT_EQ(node.host, host("/mounts"));
  EXPECT_EQ(walk("/mounts", false).host, "/proc/mounts");
}

TEST_F(ProcWalkTest, FilesOfTheRootWithIds) {
  EXPECT_EQ(walk("/loadavg").file, ProcFile::kLoadavg);
  EXPECT_EQ(walk("/sysvipc//shm").file, ProcFile::kSysvipc);
  EXPECT_EQ(walk("/sys/kernel/../kernel/ns_last_pid").file, ProcFile::kLastPid);
  EXPECT_EQ(walk("/sys/kernel/hostname").file, ProcFile::kHostName);
  EXPECT_EQ(walk("/loadavg/..").error, ENOTDIR);
  EXPECT_EQ(walk("/none/..").error, ENOENT);
  const ProcNode node = walk("/loadavg/");
  EXPECT_EQ(node.kind, Kind::kPlain);
  EXPECT_EQ(node.host, "/proc/loadavg/");
}

TEST_F(ProcWalkTest, LinksOfTheKernel) {
  ProcNode node = walk("/5/exe", false);
  EXPECT_EQ(node.kind, Kind::kLink);
  EXPECT_EQ(node.host, host("/exe"));
  EXPECT_EQ(node.shown, "/proc/5/exe");
  node = walk("/5/exe");
  EXPECT_EQ(node.kind, Kind::kBeyond);
  EXPECT_EQ(node.host, host("/exe"));
  EXPECT_FALSE(node.native);
  node = walk("/self/cwd/a/../b");
  EXPECT_EQ(node.kind, Kind::kBeyond);
  EXPECT_TRUE(node.native);
  EXPECT_EQ(node.host, host("/cwd/a/../b"));
  EXPECT_EQ(walk("/5/cwd/").host, host("/cwd/"));
}

TEST_F(ProcWalkTest, LinksThatLeadBack) {
  ProcNode node = walk("/self/root/proc/5/stat");
  EXPECT_EQ(node.kind, Kind::kText);
  EXPECT_EQ(node.shown, "/proc/5/stat");
  EXPECT_EQ(walk("/self/root/proc/1/stat").error, ENOENT);
  const UniqueFd own(::open("/proc/self/fd", O_PATH | O_CLOEXEC));
  node = walk("/self/fd/" + std::to_string(own.get()) + "/../status");
  EXPECT_EQ(node.kind, Kind::kText);
  EXPECT_EQ(node.shown, "/proc/5/status");
  const UniqueFd file(::open("/proc/self/status", O_PATH | O_CLOEXEC));
  node = walk("/self/fd/" + std::to_string(file.get()));
  EXPECT_EQ(node.kind, Kind::kText);
  EXPECT_EQ(node.shown, "/proc/5/status");
}

TEST_F(ProcWalkTest, UpAndOut) {
  ProcNode node = walk("/../etc/passwd");
  EXPECT_EQ(node.kind, Kind::kBeyond);
  EXPECT_TRUE(node.native);
  EXPECT_EQ(node.host, "/etc/passwd");
  node = walk("/../proc/5/stat");
  EXPECT_EQ(node.shown, "/proc/5/stat");
  node = walk("/../proc/self/maps");
  EXPECT_TRUE(node.native);
}

TEST_F(ProcWalkTest, FromADirectory) {
  ProcNode node = walk("maps", true, "/proc/5");
  EXPECT_TRUE(node.native);
  EXPECT_EQ(node.host, host("/maps"));
  node = walk("stat", true, "/proc/5/task/6");
  EXPECT_EQ(node.shown, "/proc/5/task/6/stat");
  node = walk("../2/comm", true, "/proc/5");
  EXPECT_FALSE(node.native);
  EXPECT_EQ(node.host, "/proc/" + std::to_string(::getppid()) + "/comm");
  node = walk("meminfo", true, "/proc", false);
  EXPECT_FALSE(node.native);
  EXPECT_EQ(node.host, "/proc/meminfo");
  EXPECT_EQ(walk(".", true, "/proc/9").error, ENOENT);
}

TEST(ShownPath, TranslatesBack) {
  const FakeTasks tasks;
  const std::string own = "/proc/" + std::to_string(::getpid());
  EXPECT_EQ(shown_path(own, tasks), "/proc/5");
  EXPECT_EQ(shown_path(own + "/fd", tasks), "/proc/5/fd");
  EXPECT_EQ(shown_path(own + "/task/4194000/attr", tasks), "/proc/5/task/6/attr");
  EXPECT_EQ(shown_path("/proc", tasks), "/proc");
  EXPECT_EQ(shown_path("/proc/meminfo", tasks), "/proc/meminfo");
  EXPECT_EQ(shown_path("/proc/1/fd", tasks), "/proc/1/fd");
  EXPECT_EQ(shown_path("/procs/1", tasks), "/procs/1");
  EXPECT_EQ(shown_path("/home", tasks), "/home");
  EXPECT_EQ(shown_path("/snapshots/proc", tasks), "/proc");
  const UniqueFd file(::memfd_create(text_file_name("/proc/5/stat").c_str(), MFD_CLOEXEC));
  char link[256];
  const ssize_t size = ::readlink(("/proc/self/fd/" + std::to_string(file.get())).c_str(), link, sizeof link);
  ASSERT_GT(size, 0);
  EXPECT_EQ(shown_path(std::string(link, static_cast<std::size_t>(size)), tasks), "/proc/5/stat");
}

}  // namespace
}  // namespace beam::rootfs
