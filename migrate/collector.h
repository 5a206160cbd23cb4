// Collects a quiesced sandbox into a SandboxState, and the contents of its memory into page files of an image.
//
// What stands in the way is known before the first page of memory is written: then none is. Without an image it only
// looks: what would stand in the way of a freeze is the same either way. Obstacles do not end the collection, so that
// all of them are found at once; failures do.
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <optional>
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
#include "migrate/twin.h"

namespace beam::migrate {

// sched_setattr(2) for a task; 0: the calling thread.
bool set_scheduling(pid_t tid, const Scheduling& scheduling);

class Collector {
 public:
  // `image` may be null. `stdio` and `later_stdio` as in FreezeOptions; they must outlive this.
  Collector(interpose::QuiescedSandbox& sandbox, ImageWriter* image, const std::array<int, 3>& stdio,
            const std::vector<std::array<int, 3>>* later_stdio = nullptr);
  ~Collector() { before_resume(); }
  Collector(const Collector&) = delete;
  Collector& operator=(const Collector&) = delete;

  // As in FreezeOptions.
  void set_consoles(const std::vector<int>& slaves) { context_.consoles = &slaves; }
  // The sandbox runs on after the freeze.
  void keep_running() { context_.ends = false; }
  // What is left to be copied into the image while the sandbox runs on: the private memory of large processes.
  struct LaterPages {
    Twin twin;
    std::size_t space = 0;  // in SandboxState.address_spaces
    struct Run {
      std::size_t index = 0;  // of its pages
      bool readable = false;
    };
    std::vector<Run> runs;
  };
  struct Later {
    SandboxState state;
    std::vector<LaterPages> pages;
    std::optional<ImageFileWriter> page_file;
  };
  // After run() and carry_files(). To be ended on the event thread; finish_later() may be called on any.
  [[nodiscard]] Later take_later() && { return {std::move(state_), std::move(later_), std::move(page_file_)}; }
  Result<> run();
  // After run(): copies files that are executed or mapped into the image, all or those in the list.
  Result<> carry_files(bool all, const std::vector<std::string>& some);
  // After run(): a copy of a descriptor of the sandbox by which the file can be read; -1: there is none.
  [[nodiscard]] int readable(dev_t device, ino_t inode) const;
  // The image is durable, and the sandbox is about to end.
  void before_end();
  // The sandbox is about to run on. Done at the latest when the collector goes, which has to be while it is stopped.
  void before_resume();
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

  Result<> zombie(const interpose::Process& process);
  // collect_attributes.cc
  Result<> read_own_attributes();
  Result<> attributes(const interpose::Task& task, ThreadAttributes& state);
  [[nodiscard]] std::optional<Credentials> credentials(const std::string& status) const;
  Result<> posix_timers(Remote& remote, ProcessState& state);

  // collect_sysv.cc
  Result<> sysv();
  Result<> sysv_memory_contents(const interpose::SysvObject& object, SysvSharedMemory& state);

  // collect_process.cc
  Result<> live(const LiveProcess& live);
  Result<> identity(const interpose::Process& process, HostPid tid, ProcessState& state);
  Result<> remote_process_state(Remote& remote, const std::string& status, ProcessState& state);
  void shared_tables(const LiveProcess& live, ProcessState& state);
  void check_sharing();
  void find_lost_parents();
  Result<> contents();
  Result<bool> stop_waited_for(const interpose::Process& process, const ProcessState& state);

  // collect_thread.cc
  Result<ThreadState> thread(Remote& remote);
  Result<ThreadState> exited_leader(const interpose::Process& process);
  Result<std::vector<std::vector<std::uint8_t>>> pending_signals(HostPid tid, bool shared_queue);

  // collect_memory.cc
  Result<> address_space(Remote& remote, VirtualPid vpid, AddressSpaceState& space);
  // False when the range is refused.
  Result<bool> mapping(VirtualPid vpid, const interpose::Task& task, const MemoryRange& range, Mapping& mapping);
  Result<> memory_layout(Remote& remote, MemoryLayout& layout);
  Result<> private_pages(const interpose::Task& task, std::size_t index, ImageFileWriter& out);
  Result<std::optional<Twin>> twin_of(const interpose::Task& task);
  Result<> set_subreapers(bool on);

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
  void note_unread_events();
  void trap_reads(HostPid tid, int fd);

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
  // By index in state_.address_spaces: all their bytes are kept, as memory.
  std::set<std::pair<std::size_t, std::uint64_t>> whole_mappings_;
  std::vector<KeptInode> inodes_;                                   // of each of state_.shared_memory
  std::map<const interpose::AddressSpace*, std::uint32_t> spaces_;  // to state_.address_spaces
  std::set<std::int32_t> continued_;                                // whose parents are still to be told
  std::vector<const interpose::Task*> space_users_;                 // a task in each of state_.address_spaces
  std::map<const interpose::OwnFilter*, std::uint32_t> filters_;    // to state_.filters
  // A process for each table of a type (KCMP_FILES and its like), in the kernel's own order of them.
  struct TableOrder {
    int type;
    bool operator()(const std::pair<HostPid, std::int32_t>& a, const std::pair<HostPid, std::int32_t>& b) const;
  };
  using Tables = std::set<std::pair<HostPid, std::int32_t>, TableOrder>;
  std::map<int, Tables> tables_;
  struct OwnAttributes {
    Scheduling scheduling;
    std::vector<std::uint64_t> affinity;
    std::int32_t io_priority = 0;
    std::uint64_t timer_slack = 0;
    std::string status;
    std::string oom_score_adjustment;
  };
  OwnAttributes own_;
  std::vector<LaterPages> later_;
  std::optional<ImageFileWriter> page_file_;  // when something is left for later
};

// Copies what was left for later, and completes the image but for its manifest.
[[nodiscard]] Result<> finish_later(Collector::Later& later, ImageWriter& image);

}  // namespace beam::migrate
