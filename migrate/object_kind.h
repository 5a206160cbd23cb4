// Kinds of kernel objects that a descriptor can stand for: one file each in migrate/kinds/, registered here.
//
// An object is an open file description (open(2)): descriptors that share one, by dup, fork, CLONE_FILES or SCM_RIGHTS,
// name one object. A kind turns a description of a frozen process into its own state struct (fields.h), and that struct
// into a new description; whatever refers to other objects, or needs the process that holds it, is done in link(), once
// all descriptors of all processes are in their places.
#pragma once

#include <sys/stat.h>

#include <any>
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "interpose/shared.h"
#include "migrate/codec.h"
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

struct CollectContext {
  interpose::Shared& shared;
  const std::array<int, 3>& stdio;  // the supervisor's descriptors that stand for the sandbox's streams; -1: none
  bool contents = true;             // false: `check` only wants to know whether it could be frozen
  SharedParts parts;
  const std::vector<std::array<int, 3>>* later_stdio = nullptr;  // the same of processes that were started later
};

struct MakeContext {
  const std::array<int, 3>& stdio;  // what the streams are now
  bool force = false;               // files may have changed
  SharedParts parts;
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
  // After all descriptions have been collected: what only shows in the whole.
  virtual void check_all(CollectContext& /*context*/, std::vector<Obstacle>& /*obstacles*/) const {}
  [[nodiscard]] virtual Result<UniqueFd> make(MakeContext& context, std::string_view state) const = 0;
  // Whether the state decodes.
  [[nodiscard]] virtual Result<> check(std::string_view state) const = 0;
  [[nodiscard]] virtual Result<Json> show(std::string_view state) const = 0;
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
  Result<> check(std::string_view bytes) const final {
    BEAM_TRY(decode<S>(bytes));
    return success();
  }
  Result<Json> show(std::string_view bytes) const final {
    BEAM_TRY_ASSIGN(const S state, decode<S>(bytes));
    return to_json_value(state);
  }

 protected:
  [[nodiscard]] virtual Result<S> collect_state(CollectContext& context, const OpenFile& file) const = 0;
  [[nodiscard]] virtual Result<UniqueFd> make_from(MakeContext& context, const S& state) const = 0;
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
