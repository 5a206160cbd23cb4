// A directory that stands for /proc or /proc/N/task (rootfs/proc_listing.h): a new one of the same processes.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "migrate/object_kind.h"

namespace beam::migrate {

struct ProcListingState {
  std::string path;  // as the sandbox sees it
  std::int32_t flags = 0;
  std::int64_t offset = 0;
};
BEAM_STATE(ProcListingState, 1, path, flags, offset)

namespace {

constexpr int kKept = O_NONBLOCK | O_PATH;

class ProcListing : public KindOf<ProcListingState> {
 public:
  std::string_view name() const override { return "proc_listing"; }
  int order() const override { return 60; }
  bool recognises(const CollectContext& context, const OpenFile& file) const override {
    return S_ISDIR(file.info.st_mode) && context.shared.proc->listing_at(file.link).has_value();
  }
  bool made_after_processes(std::string_view /*state*/) const override { return true; }

 protected:
  Result<ProcListingState> collect_state(CollectContext& context, const OpenFile& file) const override {
    return ProcListingState{*context.shared.proc->listing_at(file.link), file.flags & kKept, file.offset};
  }
  Result<UniqueFd> make_from(MakeContext& context, const ProcListingState& state) const override {
    BEAM_TRY_ASSIGN(UniqueFd fd,
                    context.shared->proc->open_listing_again(state.path, (state.flags & kKept) | O_CLOEXEC));
    // Where a reader was, only the file system of the old one knew; one that had not begun or had ended goes on right.
    if ((state.flags & O_PATH) == 0 && state.offset != 0) {
      ::lseek(fd.get(), state.offset, SEEK_SET);
    }
    return fd;
  }
};

const KindRegistration kRegistration{std::make_unique<ProcListing>()};

}  // namespace
}  // namespace beam::migrate
