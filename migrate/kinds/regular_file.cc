// Regular files and directories that are open by path: opened again with the same flags, at the same offset.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "migrate/object_kind.h"

namespace beam::migrate {

struct RegularFileState {
  std::string path;
  std::int32_t flags = 0;
  std::int64_t offset = 0;
  std::uint64_t size = 0;
  std::int64_t modified_ns = 0;
  bool directory = false;
};
BEAM_STATE(RegularFileState, 1, path, flags, offset, size, modified_ns, directory)

namespace {

// What open(2) alone can set; fcntl(2) sets the rest.
constexpr int kKept = O_ACCMODE | O_APPEND | O_ASYNC | O_DIRECT | O_DIRECTORY | O_DSYNC | O_LARGEFILE | O_NOATIME |
                      O_NOFOLLOW | O_NONBLOCK | O_PATH | O_SYNC;

class RegularFile : public KindOf<RegularFileState> {
 public:
  std::string_view name() const override { return "regular_file"; }
  bool recognises(const CollectContext& /*context*/, const OpenFile& file) const override {
    return S_ISREG(file.info.st_mode) || S_ISDIR(file.info.st_mode);
  }

 protected:
  Result<RegularFileState> collect_state(CollectContext& /*context*/, const OpenFile& file) const override {
    // Through the link, as the kernel names it: nlink tells a deleted file from one whose name ends like that.
    if (file.info.st_nlink == 0) {
      return Error(kObstacle, "a deleted file");
    }
    struct stat found {};
    if (file.link.empty() || file.link.front() != '/' || ::stat(file.link.c_str(), &found) != 0 ||
        found.st_ino != file.info.st_ino || found.st_dev != file.info.st_dev) {
      return Error(kObstacle, "a file that its path leads to no more");
    }
    RegularFileState state;
    state.path = file.link;
    state.flags = file.flags & kKept;
    state.offset = file.offset;
    state.size = static_cast<std::uint64_t>(file.info.st_size);
    state.modified_ns = file.info.st_mtim.tv_sec * 1'000'000'000LL + file.info.st_mtim.tv_nsec;
    state.directory = S_ISDIR(file.info.st_mode);
    if (state.directory && state.offset != 0) {
      return Error(kObstacle, "a directory that is being listed");
    }
    return state;
  }

  Result<UniqueFd> make_from(MakeContext& context, const RegularFileState& state) const override {
    UniqueFd fd(::open(state.path.c_str(), (state.flags & kKept) | O_CLOEXEC | O_NOCTTY));
    if (!fd) {
      return Error::from_errno("open " + state.path);
    }
    struct stat info {};
    if (::fstat(fd.get(), &info) != 0) {
      return Error::from_errno("stat " + state.path);
    }
    if (state.directory ? !S_ISDIR(info.st_mode) : !S_ISREG(info.st_mode)) {
      return Error(ESTALE, state.path + ": is another kind of file now");
    }
    const std::int64_t modified = info.st_mtim.tv_sec * 1'000'000'000LL + info.st_mtim.tv_nsec;
    if (!state.directory && !context.force &&
        (static_cast<std::uint64_t>(info.st_size) != state.size || modified != state.modified_ns)) {
      return Error(ESTALE, state.path + ": has changed since the freeze").remedy("thaw with --force to go on with it as it is");
    }
    if (state.offset != 0 && ::lseek(fd.get(), state.offset, SEEK_SET) != state.offset) {
      return Error::from_errno("seek in " + state.path);
    }
    return fd;
  }
};

const KindRegistration kRegistration{std::make_unique<RegularFile>()};

}  // namespace
}  // namespace beam::migrate
