#include "rootfs/view.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "rootfs/host_file.h"

namespace beam::rootfs {
namespace {

namespace fs = std::filesystem;

std::string read_fd(int fd) {
  std::string text(4096, '\0');
  const ssize_t got = ::pread(fd, text.data(), text.size(), 0);
  text.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
  return text;
}

class ViewTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "view-test.XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    top_ = fs::canonical(name).string();
    base_ = top_ + "/lower";
    fs::create_directories(base_ + "/d/sub/deep");
    write(base_ + "/file", "lower");
    write(base_ + "/d/one", "1");
    write(base_ + "/d/two", "22");
    write(base_ + "/d/sub/three", "333");
    fs::create_symlink("d", base_ + "/to_d");
    fs::create_symlink("../file", base_ + "/d/up");
    fs::create_symlink("/nowhere", base_ + "/dangling");
    fs::create_symlink("loop", base_ + "/loop");
    before_ = snapshot();
    start({});
  }
  void TearDown() override {
    view_.reset();
    EXPECT_EQ(snapshot(), before_) << "the workstation's tree has changed";
    fs::remove_all(top_);
  }

  void start(const std::vector<MountRequest>& more) {
    view_.reset();
    ViewOptions options;
    options.layer = top_ + "/layer";
    options.mounts.push_back({.kind = MountKind::kCow, .at = "/", .source = "/"});
    options.mounts.insert(options.mounts.end(), more.begin(), more.end());
    auto view = View::create(options);
    ASSERT_TRUE(view.ok()) << view.error().message();
    view_ = std::move(view).value();
  }

  static void write(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

  std::string snapshot() const {
    std::ostringstream text;
    std::vector<std::string> paths;
    for (const auto& entry : fs::recursive_directory_iterator(base_)) {
      paths.push_back(entry.path());
    }
    std::sort(paths.begin(), paths.end());
    for (const auto& path : paths) {
      struct stat status {};
      ::lstat(path.c_str(), &status);
      text << path << ' ' << status.st_mode << ' ' << status.st_size << ' ' << status.st_mtim.tv_sec << '.'
           << status.st_mtim.tv_nsec << ' ' << status.st_ctim.tv_nsec << ' ' << status.st_nlink << '\n';
    }
    return text.str();
  }

  Where at(const std::string& path) const { return Where{.base = base_, .path = path}; }

  int open(const std::string& path, int flags, UniqueFd& fd, mode_t mode = 0644) {
    View::Opened opened;
    const int error = view_->open(at(path), flags, mode, 0, opened);
    fd = std::move(opened.fd);
    return error;
  }
  std::string contents(const std::string& path) {
    UniqueFd fd;
    const int error = open(path, O_RDONLY, fd);
    return error == 0 ? read_fd(fd.get()) : "errno " + std::to_string(error);
  }
  int put(const std::string& path, const std::string& text, int flags = O_WRONLY | O_CREAT | O_TRUNC) {
    UniqueFd fd;
    if (const int error = open(path, flags, fd); error != 0) {
      return error;
    }
    return ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) ? 0 : errno;
  }
  std::vector<std::string> list(const std::string& path) {
    UniqueFd fd;
    std::vector<std::string> names;
    if (open(path, O_RDONLY | O_DIRECTORY, fd) != 0) {
      return {"error"};
    }
    std::vector<DirectoryEntry> entries;
    EXPECT_EQ(read_directory(fd.get(), entries), 0);
    for (const auto& entry : entries) {
      names.push_back(entry.name);
    }
    std::sort(names.begin(), names.end());
    return names;
  }
  int exists(const std::string& path, bool follow = true) {
    Found found;
    return view_->find(at(path), follow ? unsigned{kFollow} : 0U, found);
  }

  std::string top_;
  std::string base_;
  std::string before_;
  std::unique_ptr<View> view_;
};

using testing::ElementsAre;

TEST_F(ViewTest, ReadsTheWorkstation) {
  EXPECT_EQ(contents("file"), "lower");
  EXPECT_EQ(contents(base_ + "/file"), "lower");
  EXPECT_EQ(contents("to_d/one"), "1");
  EXPECT_EQ(contents("to_d/up"), "lower");
  EXPECT_EQ(contents("d/sub/../two"), "22");
  EXPECT_EQ(contents("./d//.//two"), "22");
  EXPECT_EQ(exists("missing"), ENOENT);
  EXPECT_EQ(exists("missing/x"), ENOENT);
  EXPECT_EQ(exists("file/x"), ENOTDIR);
  EXPECT_EQ(exists("file/"), ENOTDIR);
  EXPECT_EQ(exists("dangling"), ENOENT);
  EXPECT_EQ(exists("dangling", false), 0);
  EXPECT_EQ(exists("loop"), ELOOP);
  EXPECT_EQ(exists("loop/x"), ELOOP);
  EXPECT_EQ(exists(""), ENOENT);
  EXPECT_EQ(exists(std::string(300, 'x')), ENAMETOOLONG);
  EXPECT_EQ(exists("d/../../../../../../../../.."), 0);
}

TEST_F(ViewTest, WritesGoToTheLayer) {
  EXPECT_EQ(put("file", "changed"), 0);
  EXPECT_EQ(contents("file"), "changed");
  EXPECT_EQ(put("d/new", "new"), 0);
  EXPECT_EQ(contents("to_d/new"), "new");
  EXPECT_EQ(put("d/one", "+", O_WRONLY | O_APPEND), 0);
  EXPECT_EQ(contents("d/one"), "1+");
  EXPECT_THAT(list("d"), ElementsAre("new", "one", "sub", "two", "up"));
  EXPECT_EQ(contents("d/sub/three"), "333");
  EXPECT_EQ(put("d/up", "through"), 0);
  EXPECT_EQ(contents("file"), "through");
}

TEST_F(ViewTest, RemovesAndMakesAgain) {
  EXPECT_EQ(view_->remove(at("d/one"), false), 0);
  EXPECT_EQ(exists("d/one"), ENOENT);
  EXPECT_EQ(view_->remove(at("d/one"), false), ENOENT);
  EXPECT_EQ(view_->remove(at("d"), true), ENOTEMPTY);
  EXPECT_EQ(view_->remove(at("d"), false), EISDIR);
  EXPECT_EQ(view_->remove(at("d/two"), true), ENOTDIR);
  EXPECT_EQ(view_->remove(at("d/sub"), true), ENOTEMPTY);
  EXPECT_EQ(view_->remove(at("d/sub/deep"), true), 0);
  EXPECT_EQ(view_->remove(at("d/sub/three"), false), 0);
  EXPECT_EQ(view_->remove(at("d/sub/."), true), EINVAL);
  EXPECT_EQ(view_->remove(at("d/sub"), true), 0);
  EXPECT_EQ(view_->make_directory(at("d/sub/"), 0755), 0);
  EXPECT_TRUE(list("d/sub").empty());
  EXPECT_EQ(view_->make_directory(at("d/sub"), 0755), EEXIST);
  EXPECT_THAT(list("d"), ElementsAre("sub", "two", "up"));
}

TEST_F(ViewTest, Renames) {
  EXPECT_EQ(view_->rename(at("d"), at("e"), 0), 0);
  EXPECT_EQ(contents("e/sub/three"), "333");
  EXPECT_EQ(exists("d"), ENOENT);
  EXPECT_EQ(exists("to_d/one"), ENOENT);
  EXPECT_EQ(view_->rename(at("e/one"), at("e/two"), 0), 0) << "both are stubs";
  EXPECT_EQ(contents("e/two"), "1");
  EXPECT_EQ(exists("e/one"), ENOENT);
  EXPECT_EQ(view_->rename(at("e/two"), at("moved"), 0), 0);
  EXPECT_EQ(contents("moved"), "1");
  EXPECT_EQ(view_->rename(at("moved"), at("file"), RENAME_EXCHANGE), 0);
  EXPECT_EQ(contents("moved"), "lower");
  EXPECT_EQ(contents("file"), "1");
  EXPECT_EQ(view_->rename(at("moved"), at("file"), RENAME_NOREPLACE), EEXIST);
  EXPECT_EQ(view_->rename(at("e"), at("e/sub/x"), 0), EINVAL);
  EXPECT_EQ(view_->make_directory(at("native"), 0755), 0);
  EXPECT_EQ(view_->rename(at("e/sub"), at("native/sub"), 0), 0);
  EXPECT_EQ(contents("native/sub/three"), "333");
  EXPECT_EQ(view_->rename(at("native"), at("native2"), 0), 0);
  EXPECT_EQ(contents("native2/sub/three"), "333");
  EXPECT_EQ(put("native2/sub/three", "4"), 0);
  EXPECT_EQ(contents("native2/sub/three"), "4");
  EXPECT_EQ(view_->view_path(base_ + "/d/sub/deep"), base_ + "/native2/sub/deep");
  EXPECT_EQ(view_->view_path(base_ + "/d"), base_ + "/e");
  start({});
  EXPECT_EQ(contents("native2/sub/three"), "4") << "after a restart";
  EXPECT_EQ(contents("moved"), "lower");
  EXPECT_EQ(contents("file"), "1");
  EXPECT_EQ(exists("d"), ENOENT);
  EXPECT_EQ(view_->view_path(base_ + "/d/sub/deep"), base_ + "/native2/sub/deep");
}

TEST_F(ViewTest, LinksOfTheWorkstationsFiles) {
  const auto status_of = [&](const char* name) {
    Found found;
    EXPECT_EQ(view_->find(at(name), 0, found), 0) << name;
    return found.status;
  };
  const auto before = status_of("file");
  EXPECT_EQ(view_->link(at("file"), false, at("d/hard")), 0);
  EXPECT_EQ(view_->link(at("d/hard"), false, at("third")), 0);
  for (const char* name : {"file", "d/hard", "third"}) {
    EXPECT_EQ(status_of(name).st_ino, before.st_ino) << "nothing has been copied";
    EXPECT_EQ(status_of(name).st_nlink, 3U);
  }
  EXPECT_EQ(view_->remove(at("third"), false), 0);
  EXPECT_EQ(status_of("file").st_nlink, 2U);
  EXPECT_EQ(view_->rename(at("d/hard"), at("moved"), 0), 0);
  start({});
  EXPECT_EQ(status_of("moved").st_nlink, 2U) << "after a restart";
  EXPECT_EQ(put("file", "both"), 0);
  EXPECT_EQ(contents("moved"), "both");
  EXPECT_EQ(status_of("moved").st_ino, status_of("file").st_ino);
  EXPECT_EQ(status_of("moved").st_nlink, 2U);
  EXPECT_EQ(view_->link(at("d/one"), false, at("one")), 0);
  EXPECT_EQ(view_->remove(at("d/one"), false), 0);
  EXPECT_EQ(status_of("one").st_nlink, 1U);
  EXPECT_EQ(contents("one"), "1");
}

TEST_F(ViewTest, Links) {
  EXPECT_EQ(view_->link(at("file"), false, at("d/hard")), 0);
  EXPECT_EQ(put("d/hard", "both"), 0);
  EXPECT_EQ(contents("file"), "both");
  Found found;
  EXPECT_EQ(view_->find(at("file"), kFollow, found), 0);
  EXPECT_EQ(found.status.st_nlink, 2U);
  EXPECT_EQ(view_->link(at("d"), false, at("x")), EPERM);
  EXPECT_EQ(view_->link(at("file"), false, at("d/one")), EEXIST);
  EXPECT_EQ(view_->make_link("file", at("sym")), 0);
  EXPECT_EQ(contents("sym"), "both");
}

TEST_F(ViewTest, Attributes) {
  Found found;
  const auto chmod = [](int fd) { return ::chmod(descriptor_path(fd).c_str(), 0600) == 0 ? 0 : errno; };
  EXPECT_EQ(view_->change(at("d/one"), true, View::Right::kOwner, chmod, found), 0);
  EXPECT_EQ(view_->find(at("d/one"), kFollow, found), 0);
  EXPECT_EQ(found.status.st_mode & 07777, 0600U);
  EXPECT_EQ(contents("d/one"), "1");
  const auto sealed = [](int fd) { return ::chmod(descriptor_path(fd).c_str(), 0500) == 0 ? 0 : errno; };
  EXPECT_EQ(view_->change(at("d/sub"), true, View::Right::kOwner, sealed, found), 0);
  EXPECT_EQ(contents("d/sub/three"), "333");
  if (::geteuid() != 0) {
    EXPECT_EQ(put("d/sub/none", ""), EACCES);
  }
  const auto open_again = [](int fd) { return ::chmod(descriptor_path(fd).c_str(), 0700) == 0 ? 0 : errno; };
  EXPECT_EQ(view_->change(at("d/sub"), true, View::Right::kOwner, open_again, found), 0);
}

TEST_F(ViewTest, Mounts) {
  fs::create_directories(top_ + "/bound");
  write(top_ + "/bound/in", "bound");
  write(top_ + "/secret", "key");
  start({{.kind = MountKind::kHost, .at = base_ + "/d/sub", .source = top_ + "/bound"},
         {.kind = MountKind::kHost, .at = base_ + "/new/point", .source = top_ + "/bound", .read_only = true},
         {.kind = MountKind::kPrivate, .at = top_ + "/secret", .mode = 0600, .is_file = true},
         {.kind = MountKind::kPrivate, .at = base_ + "/d/tmp", .mode = 01777},
         {.kind = MountKind::kAbsent, .at = top_ + "/later"}});
  EXPECT_EQ(contents("d/sub/in"), "bound");
  EXPECT_EQ(put("d/sub/out", "written"), 0);
  EXPECT_TRUE(fs::exists(top_ + "/bound/out"));
  EXPECT_EQ(contents("new/point/out"), "written");
  EXPECT_EQ(put("new/point/out", "no"), EROFS);
  EXPECT_EQ(view_->remove(at("new/point/out"), false), EROFS);
  EXPECT_EQ(contents("../secret"), "");
  EXPECT_EQ(put("d/tmp/x", "x"), 0);
  EXPECT_EQ(view_->rename(at("d/tmp/x"), at("d/x"), 0), EXDEV);
  EXPECT_EQ(view_->rename(at("d"), at("e"), 0), EBUSY);
  EXPECT_EQ(view_->remove(at("d/sub"), true), EBUSY);
  EXPECT_THAT(list("d"), ElementsAre("one", "sub", "tmp", "two", "up"));
  write(top_ + "/later", "secret");
  EXPECT_EQ(exists("../later"), ENOENT);
  EXPECT_EQ(put("d/z", "z"), 0);
  EXPECT_EQ(put("../other", "z"), 0);
  EXPECT_EQ(exists("../later"), ENOENT);
  // What the workstation has under a hidden name stays out of the view, and is not covered by a file of the layer
  // either: applying that would replace it.
  EXPECT_EQ(put("../later", "own"), EEXIST);
  EXPECT_EQ(exists("../later"), ENOENT);
  EXPECT_EQ(contents("d/sub/../tmp/x"), "x");
}

TEST_F(ViewTest, Openat2) {
  Found found;
  EXPECT_EQ(view_->find(at("to_d/one"), kFollow | kNoSymlinks, found), ELOOP);
  EXPECT_EQ(view_->find(at("d/../file"), kFollow | kBeneath, found), 0);
  EXPECT_EQ(view_->find(at("../lower/file"), kFollow | kBeneath, found), EXDEV);
  EXPECT_EQ(view_->find(at(base_), kFollow | kBeneath, found), EXDEV);
  EXPECT_EQ(view_->find(at("/file"), kFollow | kInRoot, found), 0);
  EXPECT_EQ(view_->find(at("../../file"), kFollow | kInRoot, found), 0);
}

TEST_F(ViewTest, OpenFlags) {
  UniqueFd fd;
  EXPECT_EQ(open("file", O_RDONLY | O_CREAT | O_EXCL, fd), EEXIST);
  EXPECT_EQ(open("dangling", O_WRONLY | O_CREAT | O_EXCL, fd), EEXIST);
  EXPECT_EQ(open("loop", O_RDONLY | O_NOFOLLOW, fd), ELOOP);
  EXPECT_EQ(open("d", O_WRONLY, fd), EISDIR);
  EXPECT_EQ(open("d", O_RDONLY | O_CREAT, fd), EISDIR);
  EXPECT_EQ(open("file", O_RDONLY | O_DIRECTORY, fd), ENOTDIR);
  EXPECT_EQ(open("none/", O_WRONLY | O_CREAT, fd), EISDIR);
  EXPECT_EQ(view_->make_link("made", at("to_made")), 0);
  EXPECT_EQ(put("to_made", "by link"), 0);
  EXPECT_EQ(contents("made"), "by link");
  EXPECT_EQ(open("d", O_TMPFILE | O_RDWR, fd, 0600), 0);
}

}  // namespace
}  // namespace beam::rootfs
