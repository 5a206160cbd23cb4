// Makes a frozen sandbox again: new processes under the old virtual ids, held until all of it is there, then let go at
// once.
//
// Runs on the event thread of an engine that has no process yet. On failure the caller ends the engine, and with it
// whatever had been made.
//
// 1. Open file descriptions, mapped files and shared memory are made here, in the supervisor. 2. The first process
// executes its program as a stub; all others are forked from the stub of their parent, in their sessions, and execute
// their own program where it differs; each is emptied of all but the agent and the kernel's vDSO. 3. Each is filled:
// memory, descriptors (handed over by SCM_RIGHTS), signals, threads, registers: then it is as a quiesced process is. 4.
// Objects are linked with each other and with the processes that hold them.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/unique_fd.h"
#include "interpose/tracer.h"
#include "migrate/image.h"
#include "migrate/object_kind.h"
#include "migrate/remote.h"
#include "migrate/state.h"

namespace beam::migrate {

struct RestoreOptions {
  std::array<int, 3> stdio{0, 1, 2};  // not owned
  bool force = false;                 // go on with files that have changed since the freeze
  bool eager = false;                 // read all memory at once
  const std::vector<int>* consoles = nullptr;
};

class Restorer {
 public:
  Restorer(interpose::Tracer& tracer, const Image& image, const SandboxState& state, RestoreOptions options);
  ~Restorer();
  // Everything is there and held. start() lets it go.
  Result<> build();
  void start();
  // After a failure: ends what has been made.
  void abandon();

 private:
  // restore_objects.cc: in the supervisor
  Result<> make_objects(bool after_processes);
  Result<> link_objects();
  Result<> set_owners();
  Result<> set_asynchronous(std::uint32_t object, int ours);
  // A task of a process that can make calls; null: there is none.
  interpose::Task* task_of(VirtualPid vpid);
  Result<> open_mapped_files();

  // restore_inodes.cc: likewise
  Result<> make_inodes();
  Result<> make_inode(std::size_t index);
  Result<> fill_inode(const SharedMemoryState& inode, int fd);
  Result<> seal_inodes();
  // What a stub of this process executes.
  [[nodiscard]] std::string executable_of(const ProcessState& process) const;
  void remove_executables();

  // restore_tree.cc
  Result<> choose_vdso_place();
  Result<> make_tree();
  Result<> make_first(const ProcessState& process);
  Result<interpose::Task*> make_process(const ProcessState& state, interpose::Task& forker, bool sibling);
  Result<HostPid> fork_from(interpose::Task& forker, std::uint64_t flags);
  Result<> execute_program(const ProcessState& state, interpose::Task& task);
  Result<> empty(interpose::Task& task);
  Result<> set_subreaper(const ProcessState& process);
  Result<> close_all_but_control(Remote& remote);

  // restore_sessions.cc
  struct Ghost {
    interpose::Task task;
    interpose::Task* parent = nullptr;  // null: the supervisor
  };
  [[nodiscard]] const ProcessState* find(std::int32_t vpid) const;
  [[nodiscard]] std::uint64_t shared_with(const ProcessState& a, const ProcessState& b) const;
  interpose::Task* sharing_sibling(const ProcessState& process) const;
  Result<> make_root(const ProcessState& process, const ProcessState& first);
  Result<> make_children(const ProcessState& process);
  Result<> make_strays();
  Result<interpose::Task*> ghost(std::int32_t vpid, interpose::Task& forker, bool sibling);
  Result<> set_groups();
  Result<> end_unlisted(HostPid host, interpose::Task* parent);
  Result<> end_zombies();
  Result<> end_as(interpose::Task& task, int wait_status);
  Result<> drop_all_signals();
  Result<> drop_signals(Remote& remote);

  // carried_files.cc
  Result<UniqueFd> carried_file(const MappedFileState& file, bool writable);
  // What is executed for a program that was executed by this path.
  [[nodiscard]] std::string program_path(const std::string& path) const;

  // restore_terminals.cc
  // For a leader of a session, before anything is forked from it: a child inherits the terminal.
  Result<> take_terminal(const ProcessState& process);
  Result<> set_foreground_groups();

  // restore_memory.cc
  Result<> fill_memory(Remote& remote, const AddressSpaceState& space);
  static void map(Batch& batch, const Mapping& mapping, bool has_pages, const std::map<std::uint32_t, int>& files,
                  const std::map<std::uint32_t, int>& shared);
  using PageRuns = std::vector<PageRun>::const_iterator;
  [[nodiscard]] bool read_later(const Mapping& mapping, PageRuns first, PageRuns last) const;
  static void finish_mapping(Batch& batch, const Mapping& mapping, bool has_pages);
  Result<> note_unread(Remote& remote, std::vector<interpose::UnreadRun> runs, UniqueFd pages);
  Result<> set_layout(Remote& remote, const MemoryLayout& layout);

  // restore_files.cc
  Result<> fill_descriptors(Remote& remote, const ProcessState& process);
  Result<> trap_reads(const ProcessState& process);
  Result<> set_locks(const ProcessState& process);
  Result<> set_lock(Remote& remote, int descriptor, const FileLock& lock);
  Result<> enter_working_directory(Remote& remote, const ProcessState& process);
  // The numbers that the descriptors get there: the lowest free ones, in order.
  Result<> hand_over(Remote& remote, const std::vector<int>& fds, std::vector<int>& numbers);

  // restore_process.cc
  Result<> begin_fill(const ProcessState& process);  // memory and threads
  Result<> fill(const ProcessState& process);        // the rest
  Result<> finish(const ProcessState& process);      // what makes it as a quiesced process is
  Result<> make_threads(const ProcessState& process, interpose::Task& leader);
  Result<> fill_thread(Remote& remote, const ThreadState& thread);
  Result<> set_process(Remote& remote, const ProcessState& process, bool close_control);
  Result<> set_registers(interpose::Task& task, const ThreadState& thread);
  Result<> queue_signals(const ProcessState& process);
  Result<> end_leader(interpose::Task& leader, int exit_code);
  Result<> stop(const ProcessState& process);
  static Result<> to_group_stop(const interpose::Task& task, const std::string& what);

  // restore_sysv.cc
  Result<> make_sysv();
  Result<> fill_sysv_memory(int host, const SysvSharedMemory& state);
  Result<> attach_sysv(Remote& remote, const AddressSpaceState& space);
  Result<> take_semaphores(Remote& remote, const ProcessState& process);
  Result<> settle_sysv();

  // restore_attributes.cc
  void set_credentials(Batch& batch, const Credentials& credentials, std::uint32_t secure_bits);
  Result<> set_attributes(Remote& remote, const ThreadAttributes& attributes);
  Result<> install_filters(Remote& remote, interpose::Task& task, const ThreadAttributes& attributes);
  Result<> make_timers(Remote& remote, const ProcessState& process);
  Result<> start_timers(const ProcessState& process);
  void set_oom_score(const ProcessState& process);

  interpose::Tracer& tracer_;
  const Image& image_;
  const SandboxState& state_;
  RestoreOptions options_;
  MakeContext context_;
  std::map<std::uint32_t, UniqueFd> objects_;
  std::map<std::string, std::string> carried_;  // paths of files of the image, by those that they stand for
  std::vector<UniqueFd> mapped_files_;          // of state_.mapped_files, for writing where a mapping may write to it
  std::vector<UniqueFd> read_only_files_;       // the same, for mappings that must not become writable
  std::vector<int> sysv_memory_;                // the workstation's ids
  std::vector<UniqueFd> inodes_;                // of state_.shared_memory, open for reading and writing
  std::map<std::uint32_t, std::string> executables_;  // where those of the inodes stand meanwhile that are executed
  std::vector<UniqueFd> read_only_inodes_;            // the same, for mappings that must not become writable
  std::map<std::int32_t, interpose::Task*> leaders_;  // by virtual pid; zombies until they end
  std::map<std::int32_t, interpose::Task*> threads_;  // those that lead no process
  std::map<std::int32_t, std::string> programs_;      // what each stub executes
  std::vector<std::unique_ptr<Ghost>> ghosts_;
  std::vector<const ProcessState*> strays_;
  std::unordered_map<std::int32_t, const ProcessState*> by_vpid_;
  std::unordered_map<std::int32_t, std::vector<const ProcessState*>> children_;  // not the adopted ones
  std::map<std::uint32_t, std::vector<const ProcessState*>> by_space_;
  std::set<std::uint32_t> filled_spaces_;
  std::set<std::int32_t> filled_tables_;  // of descriptors, by ProcessState.files_of
  std::set<std::uint32_t> sealed_spaces_;
  std::vector<std::shared_ptr<const interpose::OwnFilter>> filters_;  // of state_.filters
  UniqueFd control_;     // ours: descriptors are sent to the stubs through it
  int control_fd_ = -1;  // the other end's number in every stub
  std::uint64_t vdso_place_ = 0;
  bool shows_mappings_ = false;  // something that is open in the sandbox does
  bool may_map_pages_ = false;   // programs could also execute what is mapped from the page file
};

}  // namespace beam::migrate
