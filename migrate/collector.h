// Collects a quiesced sandbox into a SandboxState, and the contents of its memory into page files of an image.
//
// Without an image it only looks: what would stand in the way of a freeze is the same either way. Obstacles do not end
// the collection, so that all of them are found at once; failures do.
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <set>
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

  // As in FreezeOptions.
  void set_consoles(const std::vector<int>& slaves) { context_.consoles = &slaves; }
  Result<> run();
  // After run(): copies files that are executed or mapped into the image, all or those in the list.
  Result<> carry_files(bool all, const std::vector<std::string>& some);
  [[nodiscard]] const SandboxState& state() const { return state_; }
  [[nodiscard]] const std::vector<Obstacle>& obstacles() const { return obstacles_; }

 private:
  // A process with at least one stopped task; `tasks` has the leader first when it is among them.
  struct LiveProcess {
    std::shared_ptr<interpose::Process> process;
    std::vector<interpose::Task*> tasks;
  };
  // A description that refers to others.
  struct Unrelated {
    const ObjectKind* kind = nullptr;
    OpenFile file;
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
  Result<> private_pages(HostPid tid, VirtualPid vpid, AddressSpaceState& space);

  // collect_inodes.cc
  using InodeKey = std::pair<std::uint64_t, std::uint64_t>;  // device and inode
  struct KeptInode {
    std::vector<SharedMapping> mappings;
    UniqueFd fd;  // when there is a description of it; else its contents are where it is mapped
  };
  std::uint32_t inode_index(InodeKey key, InodeKind kind, const std::string& name);
  Result<std::uint32_t> keep_inode(const OpenFile& file, InodeKind kind, const std::string& name);
  Result<> inode_contents();
  Result<> mapped_contents(std::vector<SharedMapping>& mappings, SharedMemoryState& state, ImageFileWriter& out);

  // collect_terminals.cc
  Result<> session_terminals();

  // collect_files.cc
  void locks(VirtualPid vpid, int fd, const std::string& info, std::vector<FileLock>& locks);
  Result<> descriptors(HostPid tid, VirtualPid vpid, ProcessState& state);
  // The object of a description; a new one, or one that is known already. 0: an obstacle, which has been noted.
  Result<std::uint32_t> object_of(HostPid tid, VirtualPid vpid, int fd, UniqueFd copy);
  Result<> relate_objects();

  interpose::QuiescedSandbox& sandbox_;
  ImageWriter* image_;
  CollectContext context_;
  SandboxState state_;
  std::vector<Obstacle> obstacles_;
  std::map<std::pair<dev_t, ino_t>, std::vector<KnownFile>> known_files_;
  std::map<std::pair<int, std::size_t>, Unrelated> unrelated_;  // by relate_order() and index in state_.objects
  std::vector<UniqueFd> in_flight_;  // descriptions that only the supervisor has a number for
  std::map<std::string, std::uint32_t> mapped_files_;
  std::map<InodeKey, std::uint32_t> inode_indices_;
  std::set<std::pair<std::int32_t, std::uint64_t>> whole_mappings_;  // by process: all their bytes are kept, as memory
  std::vector<KeptInode> inodes_;                                    // of each of state_.shared_memory
  std::vector<const interpose::AddressSpace*> spaces_;
};

}  // namespace beam::migrate
