// Collects a quiesced sandbox into a SandboxState, and the contents of its memory into page files of an image.
//
// Without an image it only looks: what would stand in the way of a freeze is the same either way. Obstacles do not end
// the collection, so that all of them are found at once; failures do.
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "interpose/quiesce.h"
#include "migrate/image.h"
#include "migrate/object_kind.h"
#include "migrate/proc_reader.h"
#include "migrate/remote.h"
#include "migrate/state.h"

namespace beam::migrate {

class Collector {
 public:
  // `image` may be null. `stdio` and `later_stdio` as in FreezeOptions; they must outlive this.
  Collector(interpose::QuiescedSandbox& sandbox, ImageWriter* image, const std::array<int, 3>& stdio,
            const std::vector<std::array<int, 3>>* later_stdio = nullptr);

  Result<> run();
  [[nodiscard]] const SandboxState& state() const { return state_; }
  [[nodiscard]] const std::vector<Obstacle>& obstacles() const { return obstacles_; }

 private:
  // A process with at least one stopped task; `tasks` has the leader first when it is among them.
  struct LiveProcess {
    std::shared_ptr<interpose::Process> process;
    std::vector<interpose::Task*> tasks;
  };
  // Where an open file description was first found.
  struct KnownFile {
    HostPid tid;
    int fd = -1;
    std::uint32_t object = 0;
  };
  struct SharedMapping {
    const interpose::Task* task = nullptr;
    MemoryRange range;
  };

  void obstacle(VirtualPid vpid, std::string object, std::string reason);
  [[nodiscard]] std::vector<LiveProcess> live_processes() const;

  // collect_process.cc
  Result<> zombie(const interpose::Process& process);
  Result<> live(const LiveProcess& live);
  Result<> identity(const interpose::Process& process, HostPid tid, ProcessState& state);
  void refuse_foreign_credentials(const LiveProcess& live, const std::string& status);
  Result<> remote_process_state(Remote& remote, const std::string& status, ProcessState& state);
  Result<> refuse_sharing(const LiveProcess& live);

  // collect_thread.cc
  Result<ThreadState> thread(Remote& remote);
  Result<ThreadState> exited_leader(const interpose::Process& process);
  Result<std::vector<std::vector<std::uint8_t>>> pending_signals(HostPid tid, bool shared_queue);

  // collect_memory.cc
  Result<> address_space(Remote& remote, VirtualPid vpid, AddressSpaceState& space);
  // False when the range is refused.
  Result<bool> mapping(VirtualPid vpid, const interpose::Task& task, const MemoryRange& range, Mapping& mapping);
  Result<> memory_layout(Remote& remote, MemoryLayout& layout);
  Result<> private_pages(HostPid tid, AddressSpaceState& space);
  Result<> shared_memory_contents();

  // collect_files.cc
  Result<> descriptors(HostPid tid, VirtualPid vpid, ProcessState& state);
  Result<std::uint32_t> object_of(HostPid tid, VirtualPid vpid, int fd, int pidfd);

  interpose::QuiescedSandbox& sandbox_;
  ImageWriter* image_;
  CollectContext context_;
  SandboxState state_;
  std::vector<Obstacle> obstacles_;
  std::map<std::pair<dev_t, ino_t>, std::vector<KnownFile>> known_files_;
  std::map<std::string, std::uint32_t> mapped_files_;
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::uint32_t> shared_memory_;  // by device and inode
  std::vector<std::vector<SharedMapping>> shared_mappings_;                         // of each of state_.shared_memory
  std::vector<const interpose::AddressSpace*> spaces_;
};

}  // namespace beam::migrate
