// What an image says about a sandbox: processes, threads, memory, and the graph of kernel objects that they hold. All
// pids here are virtual; all addresses and descriptor numbers are the program's own.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "migrate/fields.h"

namespace beam::migrate {

// --- memory ---

enum class Backing : std::uint8_t {
  kAnonymous,     // private memory of the process
  kFile,          // a file by path, private or shared
  kSharedMemory,  // shared anonymous memory, a memfd: contents in the image
  kSysv,          // System V shared memory
  kLast = kSysv,
};
inline const char* to_string(Backing backing) {
  switch (backing) {
    case Backing::kAnonymous:
      return "anonymous";
    case Backing::kFile:
      return "file";
    case Backing::kSharedMemory:
      return "shared memory";
    case Backing::kSysv:
      return "System V shared memory";
  }
  return "?";
}

struct Mapping {
  std::uint64_t start = 0;
  std::uint64_t end = 0;
  std::uint32_t protection = 0;  // PROT_*
  bool shared = false;
  Backing backing = Backing::kAnonymous;
  std::uint32_t file = 0;    // index in SandboxState.mapped_files or shared_memory
  std::uint64_t offset = 0;  // there, in bytes
  bool may_write = false;    // of a shared file: it was opened for writing too
  bool grows_down = false;
  bool no_reserve = false;
  bool locked = false;
  bool sealed = false;
  std::vector<std::int32_t> advice;  // MADV_*
  std::string name;                  // PR_SET_VMA_ANON_NAME
  bool locked_on_fault = false;      // mlock2(2) with MLOCK_ONFAULT
};
BEAM_STATE_SINCE(Mapping, locked_on_fault, 2)
BEAM_STATE(Mapping, 2, start, end, protection, shared, backing, file, offset, may_write, grows_down, no_reserve, locked,
           sealed, advice, name, locked_on_fault)

// Pages whose contents are in a page file of the image, one after the other from `offset` on.
struct PageRun {
  std::uint64_t address = 0;  // in memory; in a shared memory object: the offset in it
  std::uint64_t size = 0;
  std::uint64_t offset = 0;
};
BEAM_STATE(PageRun, 1, address, size, offset)

// The kernel's notion of what lies where (struct mm_struct, PR_SET_MM in prctl(2)).
struct MemoryLayout {
  std::uint64_t start_code = 0, end_code = 0, start_data = 0, end_data = 0, start_brk = 0, brk = 0, start_stack = 0;
  std::uint64_t arg_start = 0, arg_end = 0, env_start = 0, env_end = 0;
  std::vector<std::uint64_t> auxiliary_vector;
};
BEAM_STATE(MemoryLayout, 1, start_code, end_code, start_data, end_data, start_brk, brk, start_stack, arg_start, arg_end,
           env_start, env_end, auxiliary_vector)

struct MemoryArea {
  std::uint64_t address = 0;
  std::uint64_t size = 0;
};
BEAM_STATE(MemoryArea, 1, address, size)

struct AddressSpaceState {
  MemoryLayout layout;
  std::vector<Mapping> mappings;
  std::string page_file;
  std::vector<PageRun> pages;
  std::vector<MemoryArea> guards;  // MADV_GUARD_INSTALL
};
BEAM_STATE_SINCE(AddressSpaceState, guards, 2)
BEAM_STATE(AddressSpaceState, 2, layout, mappings, page_file, pages, guards)

struct MappedFileState {
  std::string path;
  std::uint64_t size = 0;
  std::int64_t modified_ns = 0;
  std::string carried{};  // the file of the image with its contents; empty: none
};
BEAM_STATE(MappedFileState, 1, path, size, modified_ns, carried)

// What has an inode that no path leads to: contents in the image. Mappings and descriptors refer to it by index.
enum class InodeKind : std::uint8_t {
  kAnonymous,    // shared memory of mmap(2)
  kMemfd,        // of memfd_create(2)
  kDeletedFile,  // a regular file that has been removed, or never had a name (O_TMPFILE)
  kLast = kDeletedFile,
};
inline const char* to_string(InodeKind kind) {
  switch (kind) {
    case InodeKind::kAnonymous:
      return "anonymous";
    case InodeKind::kMemfd:
      return "memfd";
    case InodeKind::kDeletedFile:
      return "deleted file";
  }
  return "?";
}

struct ExtendedAttribute {
  std::string name;
  std::string value;
};
BEAM_STATE(ExtendedAttribute, 1, name, value)

struct SharedMemoryState {
  std::string name;  // of a memfd; the path that a deleted file had; empty: anonymous
  std::uint64_t size = 0;
  std::string page_file;
  std::vector<PageRun> pages;  // the last one ends with its page, whatever the size
  InodeKind kind = InodeKind::kAnonymous;
  std::uint32_t mode = 0;                     // permissions; of memfds and files
  std::uint32_t seals = 0;                    // F_GET_SEALS, of a memfd
  std::int64_t modified_ns = 0;               // of a file
  bool linkable = false;                      // linkat(2) may give it a name: made with O_TMPFILE
  std::vector<ExtendedAttribute> attributes;  // of a file: xattr(7)
};
BEAM_STATE_SINCE(SharedMemoryState, attributes, 2)
BEAM_STATE(SharedMemoryState, 2, name, size, page_file, pages, kind, mode, seals, modified_ns, linkable, attributes)

// --- threads ---

struct SignalStack {
  std::uint64_t address = 0;
  std::int32_t flags = 0;
  std::uint64_t size = 0;
};
BEAM_STATE(SignalStack, 1, address, flags, size)

struct RestartableSequences {
  std::uint64_t address = 0;
  std::uint32_t size = 0;
  std::uint32_t signature = 0;
  std::uint32_t flags = 0;
};
BEAM_STATE(RestartableSequences, 1, address, size, signature, flags)

// sched_setattr(2).
struct Scheduling {
  std::uint32_t policy = 0;
  std::uint64_t flags = 0;
  std::int32_t nice = 0;
  std::uint32_t priority = 0;
  std::uint64_t runtime = 0;
  std::uint64_t deadline = 0;
  std::uint64_t period = 0;
};
BEAM_STATE(Scheduling, 1, policy, flags, nice, priority, runtime, deadline, period)

// credentials(7), capabilities(7); ids in the order real, effective, saved, of the file system.
struct Credentials {
  std::vector<std::uint32_t> users;
  std::vector<std::uint32_t> groups;
  std::vector<std::uint32_t> supplementary;
  std::uint64_t inheritable = 0, permitted = 0, effective = 0, bounding = 0, ambient = 0;
};
BEAM_STATE(Credentials, 1, users, groups, supplementary, inheritable, permitted, effective, bounding, ambient)

// What a thread has that its supervisor has not: a thaw leaves the rest as it finds it.
struct ThreadAttributes {
  std::optional<Scheduling> scheduling;
  std::vector<std::uint64_t> affinity;              // a bit a processor; empty: any
  std::optional<std::int32_t> io_priority;          // ioprio_set(2)
  std::optional<std::uint64_t> timer_slack_ns;      // PR_SET_TIMERSLACK
  std::optional<std::uint32_t> time_stamp_counter;  // PR_SET_TSC
  std::uint32_t secure_bits = 0;                    // PR_SET_SECUREBITS, PR_SET_KEEPCAPS
  std::optional<Credentials> credentials;
  // The program's own seccomp filters, oldest first: indexes in SandboxState.filters.
  std::vector<std::uint32_t> filters;
  bool strict = false;                         // the last of them stands for SECCOMP_MODE_STRICT
  std::optional<std::int32_t> memory_failure;  // PR_MCE_KILL
  // PR_SET_NO_NEW_PRIVS as the program sees it, 0 or 1; older images do not say, and mean 1.
  std::optional<std::int32_t> no_new_privs;
};
BEAM_STATE_SINCE(ThreadAttributes, no_new_privs, 3)
BEAM_STATE_SINCE(ThreadAttributes, memory_failure, 2)
BEAM_STATE(ThreadAttributes, 3, scheduling, affinity, io_priority, timer_slack_ns, time_stamp_counter, secure_bits,
           credentials, filters, strict, memory_failure, no_new_privs)

// A system call that the freeze interrupted, and that is issued again.
struct InterruptedCall {
  std::int64_t number = -1;
  // Of a relative timeout: what was left of it, in nanoseconds.
  std::optional<std::int64_t> remaining_ns;
};
BEAM_STATE(InterruptedCall, 1, number, remaining_ns)

struct ThreadState {
  std::int32_t vtid = 0;
  bool exited = false;         // a group leader that has exited before its threads
  std::int32_t exit_code = 0;  // then: as wait(2) would show it
  std::string name;
  std::vector<std::uint64_t> registers;  // user_regs_struct
  std::vector<std::uint8_t> extended;    // XSAVE area
  std::uint64_t signal_mask = 0;
  std::optional<SignalStack> signal_stack;
  std::uint64_t clear_tid_address = 0;
  std::uint64_t robust_list = 0;
  std::uint64_t robust_list_size = 0;
  std::optional<RestartableSequences> rseq;
  std::vector<std::vector<std::uint8_t>> pending;  // siginfo of each signal queued for this thread
  std::int32_t parent_death_signal = 0;
  std::optional<InterruptedCall> call;
  ThreadAttributes attributes;
  std::int32_t vfork_child = 0;  // waits in vfork(2) until that process executes a program or ends
};
BEAM_STATE_SINCE(ThreadState, vfork_child, 2)
BEAM_STATE_SINCE(ThreadState, attributes, 2)
BEAM_STATE(ThreadState, 2, vtid, exited, exit_code, name, registers, extended, signal_mask, signal_stack,
           clear_tid_address, robust_list, robust_list_size, rseq, pending, parent_death_signal, call, attributes,
           vfork_child)

// --- processes ---

struct SignalAction {
  std::int32_t signal = 0;
  std::uint64_t handler = 0;
  std::uint64_t flags = 0;
  std::uint64_t restorer = 0;
  std::uint64_t mask = 0;
};
BEAM_STATE(SignalAction, 1, signal, handler, flags, restorer, mask)

struct IntervalTimer {
  std::int32_t which = 0;  // ITIMER_*
  std::int64_t interval_us = 0;
  std::int64_t value_us = 0;
};
BEAM_STATE(IntervalTimer, 1, which, interval_us, value_us)

// timer_create(2).
struct PosixTimer {
  std::int32_t id = 0;
  std::int32_t clock = 0;   // with a virtual id where it names a process or thread
  std::int32_t notify = 0;  // SIGEV_*
  std::int32_t signal = 0;
  std::uint64_t value = 0;  // of the signal
  std::int32_t thread = 0;  // with SIGEV_THREAD_ID: its virtual id
  std::int64_t interval_ns = 0;
  std::int64_t left_ns = 0;  // 0: not running
};
BEAM_STATE(PosixTimer, 1, id, clock, notify, signal, value, thread, interval_ns, left_ns)

struct UndoneSemaphore {
  std::int32_t id = 0;  // of the set
  std::int32_t number = 0;
  std::int32_t adjustment = 0;
};
BEAM_STATE(UndoneSemaphore, 1, id, number, adjustment)

struct Limit {
  std::int32_t resource = 0;
  std::uint64_t soft = 0;
  std::uint64_t hard = 0;
};
BEAM_STATE(Limit, 1, resource, soft, hard)

enum class LockKind : std::uint8_t {
  kPosix,        // fcntl(F_SETLK): of the process
  kDescription,  // fcntl(F_OFD_SETLK)
  kWhole,        // flock(2)
  kLease,        // fcntl(F_SETLEASE)
  kLast = kLease,
};
inline const char* to_string(LockKind kind) {
  switch (kind) {
    case LockKind::kPosix:
      return "posix";
    case LockKind::kDescription:
      return "ofd";
    case LockKind::kWhole:
      return "flock";
    case LockKind::kLease:
      return "lease";
  }
  return "?";
}

// Held by way of a descriptor. What belongs to a description shows at each descriptor of it.
struct FileLock {
  LockKind kind = LockKind::kPosix;
  bool exclusive = false;
  std::int64_t start = 0;
  std::int64_t length = 0;  // 0: to the end
  // Of a lease that is being broken: what it is to become, F_RDLCK or F_UNLCK.
  std::optional<std::int32_t> breaks_to{};
};
BEAM_STATE_SINCE(FileLock, breaks_to, 2)
BEAM_STATE(FileLock, 2, kind, exclusive, start, length, breaks_to)

struct Descriptor {
  std::int32_t fd = 0;
  std::uint32_t object = 0;  // ObjectRecord.id
  bool close_on_exec = false;
  std::vector<FileLock> locks;
};
BEAM_STATE(Descriptor, 1, fd, object, close_on_exec, locks)

struct ProcessState {
  std::int32_t vpid = 0;
  std::int32_t parent = 0;  // 0: started from outside the sandbox
  bool adopted = false;     // an orphan whose parent in the view is not its parent in the kernel
  std::int32_t group = 0;
  std::int32_t session = 0;
  std::int32_t exit_signal = 0;
  std::optional<std::int32_t> wait_status;  // of a zombie, which has nothing of what follows
  std::int32_t stop_signal = 0;             // stopped by this signal; 0: running
  std::string executable;
  std::optional<std::uint32_t> deleted_executable;  // index in SandboxState.shared_memory
  std::string working_directory;
  bool working_directory_deleted = false;
  std::uint32_t umask = 0;
  std::uint32_t personality = 0;
  bool dumpable_cleared = false;
  bool subreaper = false;
  std::vector<Limit> limits;
  std::uint32_t address_space = 0;
  std::vector<Descriptor> descriptors;
  std::vector<SignalAction> actions;
  std::vector<std::vector<std::uint8_t>> pending;
  std::vector<IntervalTimer> timers;
  std::vector<ThreadState> threads;  // the leader first
  std::vector<PosixTimer> posix_timers;
  std::optional<std::int32_t> oom_score_adjustment;  // where it is not the supervisor's
  bool no_huge_pages = false;                        // PR_SET_THP_DISABLE
  bool merge_memory = false;                         // PR_SET_MEMORY_MERGE
  bool locks_new_memory = false;                     // mlockall(2) with MCL_FUTURE
  // Processes that share a table by clone(2) have the same number there, the virtual id of the first of them.
  std::int32_t files_of = 0;          // CLONE_FILES
  std::int32_t directory_of = 0;      // CLONE_FS
  std::int32_t actions_of = 0;        // CLONE_SIGHAND
  std::vector<UndoneSemaphore> undo;  // SEM_UNDO
  bool stop_waited_for = false;       // stopped, and its parent has been told
  bool continued = false;             // its parent is still to be told that it goes on after a stop
  bool locks_on_fault = false;        // locks_new_memory, with MCL_ONFAULT
  std::string view_root = "/";        // of chroot(2), in the mount view
};
BEAM_STATE_SINCE(ProcessState, view_root, 4)
BEAM_STATE_SINCE(ProcessState, locks_on_fault, 3)
BEAM_STATE_SINCE(ProcessState, stop_waited_for, 2)
BEAM_STATE_SINCE(ProcessState, continued, 2)
BEAM_STATE_SINCE(ProcessState, undo, 2)
BEAM_STATE_SINCE(ProcessState, posix_timers, 2)
BEAM_STATE_SINCE(ProcessState, oom_score_adjustment, 2)
BEAM_STATE_SINCE(ProcessState, no_huge_pages, 2)
BEAM_STATE_SINCE(ProcessState, merge_memory, 2)
BEAM_STATE_SINCE(ProcessState, locks_new_memory, 2)
BEAM_STATE_SINCE(ProcessState, files_of, 2)
BEAM_STATE_SINCE(ProcessState, directory_of, 2)
BEAM_STATE_SINCE(ProcessState, actions_of, 2)
BEAM_STATE(ProcessState, 4, vpid, parent, adopted, group, session, exit_signal, wait_status, stop_signal, executable,
           deleted_executable, working_directory, working_directory_deleted, umask, personality, dumpable_cleared,
           subreaper, limits, address_space, descriptors, actions, pending, timers, threads, posix_timers,
           oom_score_adjustment, no_huge_pages, merge_memory, locks_new_memory, files_of, directory_of, actions_of,
           undo, stop_waited_for, continued, locks_on_fault, view_root)

// --- the whole ---

// An open file description of one of the kinds of migrate/kinds/; `state` is that kind's own struct, encoded.
struct ObjectRecord {
  std::uint32_t id = 0;
  std::string kind;
  std::string state;
  // fcntl(2): who gets the signals of it, if anybody, and which (0: SIGIO).
  std::int32_t owner_type = 0;  // F_OWNER_*
  std::int32_t owner = 0;       // 0: nobody
  std::int32_t owner_signal = 0;
  bool asynchronous = false;  // O_ASYNC
};
BEAM_STATE(ObjectRecord, 1, id, kind, state, owner_type, owner, owner_signal, asynchronous)

struct ClockState {
  std::int64_t realtime_ns = 0;
  std::int64_t monotonic_ns = 0;  // as the sandbox saw them
  std::int64_t boottime_ns = 0;
};
BEAM_STATE(ClockState, 1, realtime_ns, monotonic_ns, boottime_ns)

// A seccomp filter of a program, as it gave it.
struct FilterState {
  std::vector<std::uint64_t> program;  // struct sock_filter
  std::uint32_t flags = 0;             // of seccomp(2)
};
BEAM_STATE(FilterState, 1, program, flags)

// --- System V IPC ---

struct SysvIdentity {
  std::int32_t id = 0;
  std::int32_t key = 0;      // 0: none
  std::int32_t creator = 0;  // its virtual pid
  std::uint32_t mode = 0;
  std::uint32_t user = 0;
  std::uint32_t group = 0;
};
BEAM_STATE(SysvIdentity, 1, id, key, creator, mode, user, group)

struct SysvSharedMemory {
  SysvIdentity identity;
  std::uint64_t size = 0;
  bool removed = false;  // it goes when nothing is attached to it any more
  std::string page_file;
  std::vector<PageRun> pages;
};
BEAM_STATE(SysvSharedMemory, 1, identity, size, removed, page_file, pages)

struct SysvSemaphores {
  SysvIdentity identity;
  std::vector<std::uint16_t> values;
};
BEAM_STATE(SysvSemaphores, 1, identity, values)

struct SysvMessage {
  std::int64_t type = 0;
  std::vector<std::uint8_t> bytes;
};
BEAM_STATE(SysvMessage, 1, type, bytes)

struct SysvQueue {
  SysvIdentity identity;
  std::uint64_t most_bytes = 0;
  std::vector<SysvMessage> messages;
};
BEAM_STATE(SysvQueue, 1, identity, most_bytes, messages)

struct SysvState {
  std::vector<SysvSharedMemory> memory;
  std::vector<SysvSemaphores> semaphores;
  std::vector<SysvQueue> queues;
  std::vector<std::int32_t> next;  // ids, of the three kinds in this order
};
BEAM_STATE(SysvState, 1, memory, semaphores, queues, next)
// The controlling terminal of a session.
struct SessionTerminal {
  std::int32_t session = 0;
  std::int32_t foreground = 0;  // its process group; 0: none of the sandbox
  std::int32_t console = -1;    // which of the runtime's terminals it is
};
BEAM_STATE(SessionTerminal, 1, session, foreground, console)

// What the sandbox has bound (ns::Binding). Addresses: 16 bytes, IPv4 as IPv6-mapped.
struct NetworkBindingState {
  std::int32_t protocol = 0;
  std::vector<std::uint8_t> address;
  std::uint16_t port = 0;
  bool v6_only = false;
  std::vector<std::uint8_t> host_address;
  std::uint16_t host_port = 0;
};
BEAM_STATE(NetworkBindingState, 1, protocol, address, port, v6_only, host_address, host_port)

struct NetworkState {
  std::uint32_t index =
      0;  // what realised it (ns/host_addresses.h); addresses of sockets have it too. 0: the workstation's
  std::vector<NetworkBindingState> bindings;
};
BEAM_STATE(NetworkState, 1, index, bindings)

// Where a component lies in the XSAVE areas of the processor (CPUID leaf 0xd).
struct ExtendedComponent {
  std::uint32_t index = 0;
  std::uint32_t offset = 0;
  std::uint32_t size = 0;
};
BEAM_STATE(ExtendedComponent, 1, index, offset, size)

struct SandboxState {
  ClockState clocks;
  std::string host_name;
  std::int32_t last_vpid = 0;
  std::vector<ProcessState> processes;
  std::vector<AddressSpaceState> address_spaces;
  std::vector<MappedFileState> mapped_files;
  std::vector<SharedMemoryState> shared_memory;
  std::vector<ObjectRecord> objects;
  std::vector<SessionTerminal> terminals;
  std::vector<FilterState> filters;
  SysvState sysv;
  std::uint32_t message_traps = 0;  // interpose/message_traps.h
  NetworkState network;
  std::vector<ExtendedComponent> extended_layout;  // of each thread's `extended`
};
BEAM_STATE_SINCE(SandboxState, filters, 2)
BEAM_STATE_SINCE(SandboxState, sysv, 2)
BEAM_STATE_SINCE(SandboxState, message_traps, 2)
BEAM_STATE_SINCE(SandboxState, network, 3)
BEAM_STATE_SINCE(SandboxState, extended_layout, 4)
BEAM_STATE(SandboxState, 4, clocks, host_name, last_vpid, processes, address_spaces, mapped_files, shared_memory,
           objects, terminals, filters, sysv, message_traps, network, extended_layout)

}  // namespace beam::migrate
