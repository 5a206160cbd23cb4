// Kinds that can't be frozen, by name, with the reason.
#include <array>

#include "migrate/object_kind.h"

namespace beam::migrate {

struct RefusedState {
  bool unused = false;
};
BEAM_STATE(RefusedState, 1, unused)

namespace {

struct RefusedKind {
  std::string_view link;
  const char* reason;
};
constexpr std::array<RefusedKind, 9> kRefused{{
    {"anon_inode:[fanotify]", "fanotify groups can't be frozen"},
    {"anon_inode:[userfaultfd]", "userfaultfd can't be frozen"},
    {"anon_inode:[perf_event]", "performance counters can't be frozen"},
    {"anon_inode:[io_uring]", "io_uring can't be frozen"},
    {"anon_inode:bpf", "BPF objects can't be frozen"},
    {"anon_inode:[landlock-ruleset]", "a Landlock ruleset that is still being made can't be frozen"},
    {"anon_inode:seccomp", "a seccomp listener can't be frozen"},
    {"anon_inode:[fscontext]", "a file system that is still being configured can't be frozen"},
    {"anon_inode:kvm", "virtual machines of KVM can't be frozen"},
}};

const RefusedKind* find(const OpenFile& file) {
  for (const RefusedKind& kind : kRefused) {
    if (file.link.starts_with(kind.link)) {
      return &kind;
    }
  }
  return nullptr;
}

class Refused : public KindOf<RefusedState> {
 public:
  std::string_view name() const override { return "refused"; }
  int order() const override { return 10; }
  bool recognises(const CollectContext& /*context*/, const OpenFile& file) const override {
    return find(file) != nullptr;
  }

 protected:
  Result<RefusedState> collect_state(CollectContext& /*context*/, const OpenFile& file) const override {
    return Error(kObstacle, find(file)->reason);
  }
  Result<UniqueFd> make_from(MakeContext& /*context*/, const RefusedState& /*state*/) const override {
    return Error(kDamaged, "an object that can't be in an image");
  }
};

const KindRegistration kRegistration{std::make_unique<Refused>()};

}  // namespace
}  // namespace beam::migrate
