// System V IPC as the sandbox sees it (sysvipc(7)): its own keys and ids, for objects of the workstation that nobody
// else has a key for. They go with the sandbox.
//
// Used by the event thread and the answer threads alike.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"

namespace beam::interpose {

enum class SysvKind { kShm, kSem, kMsg };

struct SysvObject {
  int id = -1;  // as the sandbox has it
  int host = -1;
  key_t key = 0;  // IPC_PRIVATE: none
  VirtualPid creator;
};

// What a process takes back of a semaphore's value at its end (SEM_UNDO in semop(2)), which the kernel tells nobody.
struct SemaphoreUndo {
  int id = -1;  // the sandbox's
  int number = 0;
  int adjustment = 0;
};

class SysvSpace {
 public:
  SysvSpace() = default;
  ~SysvSpace() { remove_all(); }
  SysvSpace(const SysvSpace&) = delete;
  SysvSpace& operator=(const SysvSpace&) = delete;

  // shmget(2), semget(2), msgget(2): the sandbox's id, or a negative errno. `amount`: bytes or semaphores.
  [[nodiscard]] std::int64_t get(SysvKind kind, key_t key, std::uint64_t amount, int flags, VirtualPid creator,
                                 uid_t user, gid_t group);
  [[nodiscard]] std::optional<SysvObject> find(SysvKind kind, int id) const;
  [[nodiscard]] std::optional<SysvObject> find_host(SysvKind kind, int host) const;
  // By its place among all of a kind, as SHM_STAT and its like count.
  [[nodiscard]] std::optional<SysvObject> at(SysvKind kind, int index) const;
  // The highest place; 0 when there is none.
  [[nodiscard]] int highest(SysvKind kind) const;
  [[nodiscard]] std::vector<SysvObject> all(SysvKind kind) const;
  // IPC_RMID: nobody finds it by its key any more. A shared memory lives on while it is attached.
  void removed(SysvKind kind, int id);
  // For a thaw.
  void adopt(SysvKind kind, const SysvObject& object);
  [[nodiscard]] int next(SysvKind kind) const;
  void set_next(SysvKind kind, int next);

  void undo(HostPid process, const std::vector<SemaphoreUndo>& more);
  void forget_undo(HostPid process);
  // A semaphore has been set: undo values for it are gone. `number` -1: the whole set.
  void clear_undo(int id, int number);
  [[nodiscard]] std::vector<SemaphoreUndo> undo_of(HostPid process) const;

 private:
  struct Table {
    std::map<int, SysvObject> objects;  // by id
    int next = 0;
  };
  Table& table(SysvKind kind) { return tables_[static_cast<std::size_t>(kind)]; }
  [[nodiscard]] const Table& table(SysvKind kind) const { return tables_[static_cast<std::size_t>(kind)]; }
  void remove_all();

  mutable std::mutex mutex_;
  Table tables_[3];
  std::map<HostPid, std::vector<SemaphoreUndo>> undo_;
};

// A text of /proc/sysvipc with nothing but the sandbox's objects, in its names.
[[nodiscard]] std::string sysv_listing(const SysvSpace& space, const std::string& host);

}  // namespace beam::interpose
