// epoll(7): what is registered under which number, with which events and data, and which edges have not been delivered
// yet.
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <sstream>

#include "migrate/object_kind.h"
#include "migrate/own_table.h"

namespace beam::migrate {

struct EpollEntry {
  std::int32_t fd = 0;       // the number that it was registered under
  std::uint32_t target = 0;  // object
  std::uint32_t events = 0;
  std::uint64_t data = 0;
  bool pending = false;  // edge-triggered: it has an edge that nobody has been told of
};
BEAM_STATE(EpollEntry, 1, fd, target, events, data, pending)

struct EpollState {
  std::vector<EpollEntry> entries;
};
BEAM_STATE(EpollState, 1, entries)

namespace {

// include/uapi/linux/eventpoll.h, fs/eventpoll.c EP_PRIVATE_BITS: how, not what; a disabled entry has nothing else.
constexpr std::uint32_t kPrivate = EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE;
constexpr std::uint32_t kAnything = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI;

bool is_disabled(std::uint32_t events) {
  return (events & ~kPrivate) == 0;
}

struct Slot {  // struct kcmp_epoll_slot
  std::uint32_t epoll;
  std::uint32_t target;
  std::uint32_t offset;
};

struct Unfinished {
  struct One {
    int fd = -1;
    EpollState state;
  };
  std::vector<One> all;
};

class Epoll : public KindOf<EpollState> {
 public:
  std::string_view name() const override { return "epoll"; }
  bool recognises(const CollectContext& /*context*/, const OpenFile& file) const override {
    return file.link == "anon_inode:[eventpoll]";
  }
  bool relates() const override { return true; }
  int relate_order() const override { return 100; }

  // Inner ones first, as an outer one sees them become ready.
  Result<> link_all(LinkContext& context) const override {
    auto& unfinished = context.made.parts.get<Unfinished>(name(), 0).all;
    std::map<int, const Unfinished::One*> by_fd;
    for (const auto& one : unfinished) {
      by_fd[one.fd] = &one;
    }
    std::map<int, int> depths;
    const std::function<Result<int>(const Unfinished::One&, int)> depth = [&](const Unfinished::One& one,
                                                                              int above) -> Result<int> {
      if (above > kDeepest) {
        return Error(kDamaged, "epoll instances are nested too deeply");
      }
      int below = 0;
      for (const EpollEntry& entry : one.state.entries) {
        BEAM_TRY_ASSIGN(const int target, context.object(entry.target));
        if (const auto inner = by_fd.find(target); inner != by_fd.end()) {
          BEAM_TRY_ASSIGN(const int there, depth(*inner->second, above + 1));
          below = std::max(below, there + 1);
        }
      }
      return below;
    };
    for (const auto& one : unfinished) {
      BEAM_TRY_ASSIGN(depths[one.fd], depth(one, 0));
    }
    std::stable_sort(unfinished.begin(), unfinished.end(),
                     [&](const auto& a, const auto& b) { return depths[a.fd] < depths[b.fd]; });
    if (unfinished.empty()) {
      return success();
    }
    return OwnTable::run([&](OwnTable& table) -> Result<> {
      for (const auto& one : unfinished) {
        BEAM_TRY(fill(context, table, one.fd, one.state));
      }
      return success();
    });
  }

 protected:
  Result<EpollState> collect_state(CollectContext& /*context*/, const OpenFile& /*file*/) const override {
    return EpollState{};
  }

  Result<> relate_state(CollectContext& context, const OpenFile& file, EpollState& state) const override {
    // tfd:        5 events:       19 data:                5  pos:0 ino:61 sdev:5
    std::istringstream lines(file.fdinfo);
    std::map<int, std::uint32_t> seen;
    std::vector<UniqueFd> targets;
    for (std::string line; std::getline(lines, line);) {
      int fd = 0;
      unsigned events = 0;
      unsigned long long data = 0;
      unsigned long long position = 0;
      unsigned long inode = 0;
      unsigned device = 0;
      if (std::sscanf(line.c_str(), "tfd: %d events: %x data: %llx pos:%llu ino:%lx sdev:%x", &fd, &events, &data,
                      &position, &inode, &device) != 6) {
        continue;
      }
      const Slot slot{static_cast<std::uint32_t>(file.fd), static_cast<std::uint32_t>(fd), seen[fd]++};
      // The kernel's own encoding of a device: 20 bits of minor number.
      const auto& known = context.known(::makedev(device >> 20U, device & 0xfffffU), inode);
      const KnownFile* target = find(file, slot, known);
      if (target == nullptr) {
        return Error(kObstacle,
                     "it watches descriptor " + std::to_string(fd) + ", which is held by nobody in the sandbox");
      }
      if (target->object == 0) {
        return success();  // which is an obstacle itself
      }
      EpollEntry entry;
      entry.fd = fd;
      entry.target = target->object;
      entry.events = events;
      entry.data = data;
      state.entries.push_back(entry);
      if (context.contents()) {
        BEAM_TRY_ASSIGN(auto copy, copy_of(*target));
        targets.push_back(std::move(copy));
      }
    }
    return context.contents() ? look_for_edges(file.copy.get(), targets, state) : success();
  }

  Result<> check_state(const ImageFacts& facts, const EpollState& state) const override {
    for (const EpollEntry& entry : state.entries) {
      if (entry.fd < 0 || !facts.objects.contains(entry.target)) {
        return Error(kDamaged, "it watches what is not there");
      }
    }
    return success();
  }
  Result<UniqueFd> make_from(MakeContext& /*context*/, const EpollState& /*state*/) const override {
    UniqueFd fd(::epoll_create1(EPOLL_CLOEXEC));
    if (!fd) {
      return Error::from_errno("make an epoll instance");
    }
    return fd;
  }

  Result<> link_from(LinkContext& context, const EpollState& state, int fd) const override {
    context.made.parts.get<Unfinished>(name(), 0).all.push_back({fd, state});
    return success();
  }

 private:
  static constexpr int kDeepest = 8;  // the kernel allows five levels

  static const KnownFile* find(const OpenFile& file, const Slot& slot, const std::vector<KnownFile>& known) {
    const auto is_it = [&](const KnownFile& candidate) {
      return ::syscall(SYS_kcmp, candidate.tid.value(), file.tid.value(), KCMP_EPOLL_TFD, candidate.fd, &slot) == 0;
    };
    // Mostly the one of that number.
    for (const KnownFile& candidate : known) {
      if (candidate.fd == static_cast<int>(slot.target) && candidate.tid == file.tid && is_it(candidate)) {
        return &candidate;
      }
    }
    const auto it = std::find_if(known.begin(), known.end(), is_it);
    return it == known.end() ? nullptr : &*it;
  }

  static Result<UniqueFd> copy_of(const KnownFile& known) {
    if (known.tid.value() == ::getpid()) {
      UniqueFd copy(::fcntl(known.fd, F_DUPFD_CLOEXEC, 0));
      return copy ? Result<UniqueFd>(std::move(copy)) : Error::from_errno("copy what epoll watches");
    }
    UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, known.tid.value(), O_EXCL)));  // PIDFD_THREAD
    if (!pidfd) {
      pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, known.tid.value(), 0)));
    }
    UniqueFd copy(static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd.get(), known.fd, 0)));
    return copy ? Result<UniqueFd>(std::move(copy)) : Error::from_errno("copy what epoll watches");
  }

  // Which edges are there shows only when they are taken; they are put back at once, as nothing else runs: to set an
  // entry again makes it pending when its target is ready, which it just was.
  static Result<> look_for_edges(int epoll, const std::vector<UniqueFd>& targets, EpollState& state) {
    const auto takes = [](const EpollEntry& entry) {
      return (entry.events & (EPOLLET | EPOLLONESHOT)) != 0 && !is_disabled(entry.events);
    };
    if (std::none_of(state.entries.begin(), state.entries.end(), takes)) {
      return success();
    }
    std::vector<epoll_event> ready(state.entries.size());
    const int count = ::epoll_wait(epoll, ready.data(), static_cast<int>(ready.size()), 0);
    if (count < 0) {
      return Error::from_errno("see what is ready");
    }
    ready.resize(static_cast<std::size_t>(count));
    return OwnTable::run([&](OwnTable& table) -> Result<> {
      for (std::size_t i = 0; i < state.entries.size(); ++i) {
        EpollEntry& entry = state.entries[i];
        // By its data: of two with the same, either may be meant, and an edge too many harms less than one too few.
        entry.pending = takes(entry) && std::any_of(ready.begin(), ready.end(), [&](const epoll_event& event) {
                          return event.data.u64 == entry.data;
                        });
        if (!entry.pending) {
          continue;
        }
        const int target = targets[i].get();
        int error = 0;
        if ((entry.events & EPOLLEXCLUSIVE) != 0) {  // which can't be changed, only removed
          error = table.epoll_ctl(epoll, EPOLL_CTL_DEL, target, entry.fd, 0, 0);
          error =
              error != 0 ? error : table.epoll_ctl(epoll, EPOLL_CTL_ADD, target, entry.fd, entry.events, entry.data);
        } else {
          error = table.epoll_ctl(epoll, EPOLL_CTL_MOD, target, entry.fd, entry.events, entry.data);
        }
        if (error != 0) {
          return Error(error, "put an edge back");
        }
      }
      return success();
    });
  }

  static Result<> fill(const LinkContext& context, OwnTable& table, int epoll, const EpollState& state) {
    const auto control = [&](int operation, const EpollEntry& entry, std::uint32_t events) -> Result<> {
      BEAM_TRY_ASSIGN(const int target, context.object(entry.target));
      const int error = table.epoll_ctl(epoll, operation, target, entry.fd, events, entry.data);
      return error == 0 ? success() : Result<>(Error(error, "watch descriptor " + std::to_string(entry.fd)));
    };
    const auto is_silent = [](const EpollEntry& entry) {
      return is_disabled(entry.events) || ((entry.events & EPOLLET) != 0 && !entry.pending);
    };
    // What has told its edge already, or is disabled, is told once more, to nobody.
    std::vector<epoll_event> told(state.entries.size() + 1);
    bool any = false;
    for (const EpollEntry& entry : state.entries) {
      if (is_silent(entry)) {
        any = true;
        BEAM_TRY(control(
            EPOLL_CTL_ADD, entry,
            is_disabled(entry.events) ? (entry.events | EPOLLONESHOT | kAnything) & ~EPOLLEXCLUSIVE : entry.events));
      }
    }
    if (any && ::epoll_wait(epoll, told.data(), static_cast<int>(told.size()), 0) < 0) {
      return Error::from_errno("settle what is watched");
    }
    for (const EpollEntry& entry : state.entries) {
      if (!is_silent(entry)) {
        BEAM_TRY(control(EPOLL_CTL_ADD, entry, entry.events));
        continue;
      }
      // Of one that was not ready for anything, no more than errors and the hang-up can still be told.
      const bool fired = std::any_of(told.begin(), told.end(), [&](const epoll_event& event) {
        return event.events != 0 && event.data.u64 == entry.data;
      });
      if (is_disabled(entry.events) && !fired) {
        BEAM_TRY(control(EPOLL_CTL_MOD, entry, entry.events));
      }
    }
    return success();
  }
};

const KindRegistration kRegistration{std::make_unique<Epoll>()};

}  // namespace
}  // namespace beam::migrate
