#include "interpose/jail.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

#include "base/log.h"
#include "rootfs/host_file.h"

namespace beam::interpose {
namespace {

using rootfs::MountKind;

// As of the kernel's header; the installed one may be older than the kernel.
constexpr std::uint64_t kExecute = 1ULL << 0;
constexpr std::uint64_t kWriteFile = 1ULL << 1;
constexpr std::uint64_t kReadFile = 1ULL << 2;
constexpr std::uint64_t kReadDir = 1ULL << 3;
constexpr std::uint64_t kFirstVersion = (1ULL << 13) - 1;  // EXECUTE ... MAKE_SYM
constexpr std::uint64_t kRefer = 1ULL << 13;               // version 2
constexpr std::uint64_t kTruncate = 1ULL << 14;            // 3
constexpr std::uint64_t kIoctlDev = 1ULL << 15;            // 5
constexpr std::uint64_t kScopeAbstractSocket = 1ULL << 0;  // 6
constexpr std::uint64_t kScopeSignal = 1ULL << 1;          // 6

struct Attributes {
  std::uint64_t handled_fs = 0;
  std::uint64_t handled_net = 0;
  std::uint64_t scoped = 0;
};

Attributes attributes_of(int version) {
  Attributes attributes;
  attributes.handled_fs =
      kFirstVersion | (version >= 2 ? kRefer : 0) | (version >= 3 ? kTruncate : 0) | (version >= 5 ? kIoctlDev : 0);
  attributes.scoped = version >= 6 ? kScopeAbstractSocket | kScopeSignal : 0;
  return attributes;
}

std::size_t size_for(int version) {
  return version >= 6 ? sizeof(Attributes) : version >= 4 ? 2 * sizeof(std::uint64_t) : sizeof(std::uint64_t);
}

class Rules {
 public:
  Rules(int ruleset, std::uint64_t handled, std::vector<std::string> hidden)
      : ruleset_(ruleset), handled_(handled), hidden_(std::move(hidden)) {}

  void allow(const std::string& path, std::uint64_t access) const {
    const UniqueFd fd(::open(path.c_str(), O_PATH | O_CLOEXEC | O_NOFOLLOW));
    struct stat status {};
    if (!fd || ::fstat(fd.get(), &status) != 0 || S_ISLNK(status.st_mode)) {
      return;
    }
    if (!S_ISDIR(status.st_mode)) {
      access &= kExecute | kReadFile | kWriteFile | kIoctlDev;
    }
    landlock_path_beneath_attr rule{};
    rule.allowed_access = access & handled_;
    rule.parent_fd = fd.get();
    if (::syscall(SYS_landlock_add_rule, ruleset_, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0) {
      BEAM_LOG_WARN(kInterpose, "landlock rule for {}: errno {}", path, errno);
    }
  }

  // All below `path` but what is hidden: a directory that holds something hidden is allowed entry by entry.
  void allow_around(const std::string& path, std::uint64_t access) const {
    if (std::find(hidden_.begin(), hidden_.end(), path) != hidden_.end()) {
      return;
    }
    const std::string prefix = path == "/" ? "/" : path + "/";
    if (std::none_of(hidden_.begin(), hidden_.end(),
                     [&](const std::string& secret) { return secret.starts_with(prefix); })) {
      allow(path, access);
      return;
    }
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
    std::vector<rootfs::DirectoryEntry> entries;
    if (!fd || rootfs::read_directory(fd.get(), entries) != 0) {
      return;
    }
    for (const auto& entry : entries) {
      if (entry.type == DT_DIR || entry.type == DT_REG) {
        allow_around(prefix + entry.name, access);
      }
    }
  }

 private:
  const int ruleset_;
  const std::uint64_t handled_;
  const std::vector<std::string> hidden_;
};

}  // namespace

int landlock_version() {
  const long version = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  return version < 0 ? 0 : static_cast<int>(version);
}

Result<UniqueFd> make_jail(const rootfs::View& view, const std::vector<std::string>& executables) {
  const int version = landlock_version();
  if (version == 0) {
    BEAM_LOG_WARN(kInterpose, "this kernel has no Landlock: the sandbox is kept by its views and by seccomp alone");
    return UniqueFd();
  }
  const Attributes attributes = attributes_of(version);
  UniqueFd ruleset(static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, size_for(version), 0)));
  if (!ruleset) {
    return Error::from_errno("make a Landlock ruleset");
  }
  std::vector<std::string> hidden;
  for (const auto& mount : view.mounts()) {
    if (mount->kind == MountKind::kPrivate || mount->kind == MountKind::kAbsent) {
      hidden.push_back(mount->at);
    }
  }
  // What a new program is read from; what may be opened by the kernel is opened for reading as well.
  constexpr std::uint64_t kRead = kExecute | kReadFile | kReadDir;
  const Rules rules(ruleset.get(), attributes.handled_fs, std::move(hidden));
  rules.allow_around("/", kRead);
  rules.allow(view.layer(), kRead | kWriteFile | kTruncate);
  for (const auto& mount : view.mounts()) {
    if (mount->kind == MountKind::kHost) {
      rules.allow("/" + mount->source, mount->read_only ? kRead : kRead | kWriteFile | kTruncate | kIoctlDev);
    }
  }
  for (const std::string& path : executables) {
    rules.allow(path, kExecute | kReadFile);
  }
  rules.allow("/proc", kRead | kWriteFile | kTruncate);
  for (const char* device :
       {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx"}) {
    rules.allow(device, kReadFile | kWriteFile | kIoctlDev);
  }
  return ruleset;
}

}  // namespace beam::interpose
