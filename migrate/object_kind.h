// Kinds of kernel objects that a descriptor can stand for: one file each in migrate/kinds/, registered here.
//
// An object is an open file description (open(2)): descriptors that share one, by dup, fork, CLONE_FILES or SCM_RIGHTS,
// name one object. A kind turns a description of a frozen process into its own state struct (fields.h), and that struct
// into a new description, in two phases each, as objects refer to each other in any order and in circles:
//   collect  every description by itself      relate   what refers to other objects, which all have their ids now
//   make     every description by itself      link     what refers to other objects, or needs the processes that hold
//   them
#pragma once

#include <sys/stat.h>

#include <any>
#include <array>
#include <cstdint>
#include <ctime>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "interpose/shared.h"
#include "migrate/codec.h"
#include "migrate/image.h"
#include "migrate/json.h"
#include "migrate/state.h"

namespace beam::migrate {

// A description of a frozen process, with a copy of the descriptor in the supervisor's hands.
struct OpenFile {
  HostPid tid;  // a live task of the process that holds it
  VirtualPid vpid;
  int fd = -1;  // there
  UniqueFd copy;
  struct stat info {};
  std::string link;  // /proc/TID/fd/FD
  int flags = 0;     // F_GETFL
  std::int64_t offset = 0;
  std::string fdinfo;  // /proc/TID/fdinfo/FD
};

// The value of `name: value` in a text as fdinfo has; empty when it is not there.
[[nodiscard]] std::string_view info_value(std::string_view text, std::string_view name);

// Errors with this code are obstacles: something that can't be frozen, as opposed to a failure.
inline constexpr int kObstacle = -2;

// What several objects of a kind share while they are collected or made: the two ends of one pipe. By kind and key.
class SharedParts {
 public:
  template <typename T>
  T& get(std::string_view kind, std::uint64_t key) {
    std::any& part = parts_[{std::string(kind), key}];
    if (!part.has_value()) {
      part = std::make_shared<T>();
    }
    return **std::any_cast<std::shared_ptr<T>>(&part);
  }
  template <typename T, typename Visit>
  void for_each(std::string_view kind, Visit&& visit) {
    for (auto& [where, part] : parts_) {
      if (where.first == kind) {
        visit(where.second, **std::any_cast<std::shared_ptr<T>>(&part));
      }
    }
  }

 private:
  std::map<std::pair<std::string, std::uint64_t>, std::any> parts_;
};

// Something that stands in the way of a freeze.
struct Obstacle {
  std::int32_t vpid = 0;
  std::string object;
  std::string reason;
};

// Where an open file description was first found.
struct KnownFile {
  HostPid tid;  // the supervisor itself, for one that no process of the sandbox has a number for
  int fd = -1;
  std::uint32_t object = 0;  // 0: it can't be frozen, which is an obstacle already
};

struct CollectContext {
  interpose::Shared& shared;
  const std::array<int, 3>& stdio;  // the supervisor's descriptors that stand for the sandbox's streams; -1: none
  const std::vector<int>* consoles = nullptr;  // slave ends of terminals whose masters the runtime holds
  const std::vector<std::array<int, 3>>* later_stdio = nullptr;  // the same of processes that were started later
  ImageWriter* image = nullptr;  // null: `check` only wants to know whether it could be frozen
  bool ends = true;              // the sandbox ends with the freeze: what can be asked only once may be asked
  SharedParts parts = {};

  // While objects are related:
  // The object behind a descriptor of the supervisor's own, which becomes one when it is none yet: a message in flight
  // holds descriptions that no process has a number for. `vpid` is named in obstacles. 0: it can't be frozen, and that
  // has been noted.
  std::function<Result<std::uint32_t>(VirtualPid vpid, UniqueFd fd)> object_of = {};
  // The descriptions of one inode.
  std::function<const std::vector<KnownFile>&(dev_t device, ino_t inode)> known = {};

  // CLOCK_MONOTONIC of this workstation when the sandbox's clocks were read, at which they stand still.
  std::int64_t began_ns = 0;

  // What inotify instances had to tell when the sandbox was stopped, in bytes: Beam's own looking round may add to it.
  struct UnreadEvents {
    HostPid tid;
    int fd = -1;
    int bytes = 0;
  };
  std::vector<UnreadEvents> unread_events = {};

  // At any time: has the contents of an inode kept that no path leads to; its index for MakeContext::inode. The rest of
  // what is known of it comes from the description.
  std::function<Result<std::uint32_t>(const OpenFile& file, InodeKind kind, const std::string& name)> keep_inode = {};

  // What kinds have to do when the image is durable, before the sandbox ends; not when it runs on.
  std::vector<std::function<void()>> at_end = {};
  // What they have to do when the sandbox runs on after all, which is as they found it then: the freeze has failed, or
  // was to keep it running.
  std::vector<std::function<void()>> at_resume = {};
  // Then: has reads of a description trapped in all processes that hold it, as ObjectKind::traps_reads says.
  std::function<void(HostPid tid, int fd)> trap_reads = {};

  [[nodiscard]] bool contents() const { return image != nullptr; }
  // What a running timer that has `left_ns` left now had left when the clocks were read: it ends at no earlier time of
  // theirs for having been asked later. 0 stays 0: it does not run.
  [[nodiscard]] std::int64_t left_when_begun(std::int64_t left_ns) const {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return left_ns == 0 ? 0 : left_ns + now.tv_sec * 1'000'000'000LL + now.tv_nsec - began_ns;
  }
};

struct MakeContext {
  const std::array<int, 3>& stdio;  // what the streams are now
  bool force = false;               // files may have changed
  SharedParts parts;
  const std::vector<int>* consoles = nullptr;  // slave ends of the new ones
  // The supervisor's descriptor of an inode that was kept, open for reading and writing. kDamaged: there is none.
  std::function<Result<int>(std::uint32_t index)> inode;
  // For kinds that are made after the processes: ids of now. 0: no such process.
  std::function<HostPid(VirtualPid)> host_pid;
  interpose::Shared* shared = nullptr;
  // Likewise: a new socket that one of the processes has made. To the jail (Landlock's scope of abstract sockets) it
  // counts whose it is.
  std::function<Result<UniqueFd>(int family, int type)> socket = {};
};

// All objects are made, all processes are filled, and none has run yet.
struct LinkContext {
  MakeContext& made;
  interpose::Shared& shared;
  const std::map<std::uint32_t, UniqueFd>& objects;
  // A stopped task of a process, for injected calls; null when there is no such process, or it is a zombie.
  std::function<interpose::Task*(VirtualPid vpid)> task;

  // The supervisor's descriptor of an object. kDamaged when the image has none of this id.
  [[nodiscard]] Result<int> object(std::uint32_t id) const;
};

// What an object's state may refer to, when an image is checked.
struct ImageFacts {
  const std::set<std::uint32_t>& objects;
  std::size_t inodes = 0;  // MakeContext::inode
};

class ObjectKind {
 public:
  virtual ~ObjectKind() = default;
  [[nodiscard]] virtual std::string_view name() const = 0;
  // Kinds are asked in the order of this number; the first that recognises a description collects it.
  [[nodiscard]] virtual int order() const { return 100; }
  [[nodiscard]] virtual bool recognises(const CollectContext& context, const OpenFile& file) const = 0;
  // The encoded state. kObstacle when it can't be frozen; the text then says why, without naming the descriptor.
  [[nodiscard]] virtual Result<std::string> collect(CollectContext& context, const OpenFile& file) const = 0;
  // Whether relate() is to be called.
  [[nodiscard]] virtual bool relates() const { return false; }
  // Lower ones come first: relating may bring new objects, which later ones then know.
  [[nodiscard]] virtual int relate_order() const { return 0; }
  // Completes the state with what refers to other objects. May leave the description changed for as long as it takes,
  // as nothing runs; not afterwards.
  [[nodiscard]] virtual Result<> relate(CollectContext& /*context*/, const OpenFile& /*file*/,
                                        std::string& /*state*/) const {
    return success();
  }
  // After all descriptions have been collected and related: what only shows in the whole.
  virtual void check_all(CollectContext& /*context*/, std::vector<Obstacle>& /*obstacles*/) const {}
  [[nodiscard]] virtual Result<UniqueFd> make(MakeContext& context, std::string_view state) const = 0;
  // It shows what a process has mapped, at any time from now on.
  [[nodiscard]] virtual bool shows_mappings(std::string_view /*state*/) const { return false; }
  // Whether making it needs the processes and threads, which are stubs then. Else it is made before the first of them.
  [[nodiscard]] virtual bool made_after_processes(std::string_view /*state*/) const { return false; }
  // Whether reads of it are trapped, as what is read has to be translated (interpose/read_traps.h).
  [[nodiscard]] virtual bool traps_reads(std::string_view /*state*/) const { return false; }
  // With the supervisor's descriptor of the object.
  [[nodiscard]] virtual Result<> link(LinkContext& /*context*/, std::string_view /*state*/, int /*fd*/) const {
    return success();
  }
  // After every object was linked: what depends on the others' being complete, as the readiness that epoll sees.
  [[nodiscard]] virtual Result<> link_all(LinkContext& /*context*/) const { return success(); }
  // Whether the state decodes, and refers to nothing that is not there.
  [[nodiscard]] virtual Result<> check(std::string_view state, const ImageFacts& facts) const = 0;
  [[nodiscard]] virtual Result<> show(std::string_view state, const JsonTarget& into) const = 0;
};

// A kind whose state is the struct S.
template <State S>
class KindOf : public ObjectKind {
 public:
  Result<std::string> collect(CollectContext& context, const OpenFile& file) const final {
    BEAM_TRY_ASSIGN(const S state, collect_state(context, file));
    return encode(state);
  }
  Result<UniqueFd> make(MakeContext& context, std::string_view bytes) const final {
    BEAM_TRY_ASSIGN(const S state, decode<S>(bytes));
    return make_from(context, state);
  }
  Result<> relate(CollectContext& context, const OpenFile& file, std::string& bytes) const final {
    BEAM_TRY_ASSIGN(S state, decode<S>(bytes));
    BEAM_TRY(relate_state(context, file, state));
    bytes = encode(state);
    return success();
  }
  Result<> link(LinkContext& context, std::string_view bytes, int fd) const final {
    BEAM_TRY_ASSIGN(const S state, decode<S>(bytes));
    return link_from(context, state, fd);
  }
  Result<> check(std::string_view bytes, const ImageFacts& facts) const final {
    BEAM_TRY_ASSIGN(const S state, decode<S>(bytes));
    return check_state(facts, state);
  }
  Result<> show(std::string_view bytes, const JsonTarget& into) const final {
    BEAM_TRY_ASSIGN(const S state, decode<S>(bytes));
    write_json(into, state);
    return success();
  }

 protected:
  [[nodiscard]] virtual Result<S> collect_state(CollectContext& context, const OpenFile& file) const = 0;
  [[nodiscard]] virtual Result<UniqueFd> make_from(MakeContext& context, const S& state) const = 0;
  [[nodiscard]] virtual Result<> check_state(const ImageFacts& /*facts*/, const S& /*state*/) const {
    return success();
  }
  [[nodiscard]] virtual Result<> relate_state(CollectContext& /*context*/, const OpenFile& /*file*/,
                                              S& /*state*/) const {
    return success();
  }
  [[nodiscard]] virtual Result<> link_from(LinkContext& /*context*/, const S& /*state*/, int /*fd*/) const {
    return success();
  }
};

// All kinds, by order().
[[nodiscard]] const std::vector<const ObjectKind*>& all_kinds();
// Null: no such kind in this Beam.
[[nodiscard]] const ObjectKind* find_kind(std::string_view name);

// `static const KindRegistration kRegistration{std::make_unique<Eventfd>()};` in the kind's file.
struct KindRegistration {
  explicit KindRegistration(std::unique_ptr<ObjectKind> kind);
};

}  // namespace beam::migrate
