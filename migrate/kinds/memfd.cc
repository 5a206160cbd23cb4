// memfd_create(2): memory with a descriptor. What is in it is kept as that of any inode without a path.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "migrate/object_kind.h"

namespace beam::migrate {

struct MemfdState {
  std::uint32_t inode = 0;
  std::int32_t flags = 0;
  std::int64_t offset = 0;
};
BEAM_STATE(MemfdState, 1, inode, flags, offset)

namespace {

constexpr std::string_view kPrefix = "/memfd:";
constexpr std::string_view kDeleted = " (deleted)";
constexpr int kKept =
    O_ACCMODE | O_APPEND | O_DIRECT | O_DSYNC | O_LARGEFILE | O_NOATIME | O_NONBLOCK | O_PATH | O_SYNC;

class Memfd : public KindOf<MemfdState> {
 public:
  std::string_view name() const override { return "memfd"; }
  int order() const override { return 80; }
  bool recognises(const CollectContext& /*context*/, const OpenFile& file) const override {
    return file.link.starts_with(kPrefix) && file.link.ends_with(kDeleted) && S_ISREG(file.info.st_mode);
  }

 protected:
  Result<MemfdState> collect_state(CollectContext& context, const OpenFile& file) const override {
    struct statfs system {};
    if (::fstatfs(file.copy.get(), &system) == 0 && system.f_type == HUGETLBFS_MAGIC) {
      return Error(kObstacle, "a memory file of huge pages");
    }
    const std::string name = file.link.substr(kPrefix.size(), file.link.size() - kPrefix.size() - kDeleted.size());
    MemfdState state;
    BEAM_TRY_ASSIGN(state.inode, context.keep_inode(file, InodeKind::kMemfd, name));
    state.flags = file.flags & kKept;
    state.offset = file.offset;
    return state;
  }
  Result<> check_state(const ImageFacts& facts, const MemfdState& state) const override {
    return state.inode < facts.inodes ? success() : Result<>(Error(kDamaged, "its memory is not there"));
  }
  Result<UniqueFd> make_from(MakeContext& context, const MemfdState& state) const override {
    BEAM_TRY_ASSIGN(const int inode, context.inode(state.inode));
    UniqueFd fd(::open(("/proc/self/fd/" + std::to_string(inode)).c_str(), (state.flags & kKept) | O_CLOEXEC));
    if (!fd || ((state.flags & O_PATH) == 0 && ::lseek(fd.get(), state.offset, SEEK_SET) != state.offset)) {
      return Error::from_errno("open a memory file again");
    }
    return fd;
  }
};

const KindRegistration kRegistration{std::make_unique<Memfd>()};

}  // namespace
}  // namespace beam::migrate
