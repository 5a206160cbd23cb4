// Events of inotify(7) that nobody has read yet, across a freeze.
//
// Nobody but the kernel can put an event into a queue, and only for a file that is watched. So stand-ins are put there:
// events of private directories that are watched for just this, of the same size, in the same order. Readiness,
// FIONREAD and what fits into a buffer are the kernel's own then; who reads has each stand-in replaced by the event
// that it stands for (sys_reads.cc).
//
// A stand-in is known by its watch, which has a number that no program's watch comes to. Directories take turns, so
// that the kernel does not take two equal events for one, and two readers at once get what each has read. They stay
// until the object goes: the end of a watch would itself be an event.
//
// Owns: the directories and the events that are still to be read. Safe to use from any thread.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"

namespace beam::interpose {

struct InotifyEvent {
  std::int32_t watch = 0;
  std::uint32_t mask = 0;
  std::uint32_t cookie = 0;
  std::string name{};            // of a file in a directory
  std::uint32_t name_space = 0;  // bytes for the name in the record; 0: there is none
};

class InotifyQueues {
 public:
  InotifyQueues() = default;
  ~InotifyQueues();
  InotifyQueues(const InotifyQueues&) = delete;
  InotifyQueues& operator=(const InotifyQueues&) = delete;

  // Whether a watch of this number is one for stand-ins.
  [[nodiscard]] static bool stands_in(std::int32_t watch) { return watch >= kFirst; }
  // What a copy of a program's descriptor has to tell, which is taken from it.
  Result<std::vector<InotifyEvent>> take(int inotify);
  // Puts events there. `next`: the number that the next watch gets. The readers have to be trapped (read_traps.h).
  // ENOTTY: this kernel can't number watches (CONFIG_CHECKPOINT_RESTORE).
  Result<> put(int inotify, const std::vector<InotifyEvent>& events, std::int32_t next);
  // Replaces stand-ins in what has been read; false when there was none.
  bool translate(std::vector<char>& records);
  // The number that the next watch of an instance gets, and from then on again. Leaves an event behind in the queue, of
  // the watch of this number that went.
  static Result<std::int32_t> next_watch(int inotify);
  static Result<> set_next_watch(int inotify, std::int32_t next);

 private:
  static constexpr std::int32_t kFirst = 0x40000000;
  static constexpr std::int32_t kTurns = 64;

  // Of one call of put().
  struct Queue {
    std::map<std::uint64_t, InotifyEvent> unread;  // by place in the order
  };

  Result<std::string> directory(std::int32_t watch);

  std::mutex mutex_;
  std::string place_;
  std::int32_t last_ = kFirst;
  std::map<std::int32_t, Queue> queues_;  // by the number of the first watch
};

}  // namespace beam::interpose
