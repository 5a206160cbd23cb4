// What $BEAM_HOME/sandboxes/NAME says about one sandbox: its description, who supervises it, and how it ended.
//
// A record is written by the supervisor alone and appears by one rename, complete. It outlives a killed client and a
// killed supervisor: whether a sandbox runs is decided by asking the kernel whether that very supervisor process still
// lives.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace beam::runtime {

// One process over all time: pids are reused, start times within one boot are not.
struct ProcessIdentity {
  pid_t pid = 0;
  std::uint64_t start_time = 0;  // clock ticks since boot, proc(5) stat field 22
  std::string boot_id;

  static Result<ProcessIdentity> of(pid_t pid);
  [[nodiscard]] bool alive() const;
};

struct SandboxRecord {
  std::string id;  // of the sandbox over all its freezes and thaws; random
  std::string name;
  std::string group;
  std::string workstation;
  std::string host_name;
  std::string network;                 // group, host or none (network.h)
  std::string address;                 // in the network of its group; empty where it has none
  std::vector<std::string> published;  // as `beam run --publish` was given them
  std::string working_directory;
  std::vector<std::string> command;
  std::int64_t created_ms = 0;  // Unix time
  bool detached = false;
  bool terminal = false;
  bool remove_at_end = false;
  std::string socket;  // the supervisor's, absolute
  ProcessIdentity supervisor;
};

// How a sandbox ended.
struct SandboxEnd {
  int exit_status = 0;  // as `beam wait` gives it
  std::string image;    // where it was frozen to, if it was
  std::int64_t ended_ms = 0;
};

// The names of files in a sandbox's directory.
inline constexpr const char* kStdoutLog = "stdout.log";
inline constexpr const char* kStderrLog = "stderr.log";
inline constexpr const char* kLayer = "layer";  // the directory of what its mount view has changed
inline constexpr const char* kSupervisorLog = "supervisor.log";

// The records below one home. Every function names the sandbox in its errors.
class RecordStore {
 public:
  // Makes the home and its `sandboxes` directory where they are missing.
  static Result<RecordStore> create();
  // For verbs that only look: a missing home reads as an empty one.
  static Result<RecordStore> open();

  [[nodiscard]] const std::string& home() const { return home_; }
  [[nodiscard]] std::string directory(const std::string& name) const { return sandboxes_ + "/" + name; }
  [[nodiscard]] std::string file(const std::string& name, const char* leaf) const {
    return directory(name) + "/" + leaf;
  }

  // EEXIST when the name is taken.
  Result<> add(const SandboxRecord& record) const;
  // The same where the name belongs to this very sandbox, which runs no more: its record makes room. The log of a
  // frozen one goes on. Returns where the old record is kept until drop_replaced() or restore_replaced(). EEXIST: the
  // name is another's, or the sandbox runs.
  Result<std::string> replace(const SandboxRecord& record) const;
  void drop_replaced(const std::string& aside) const;
  void restore_replaced(const std::string& name, const std::string& aside) const;
  Result<> finish(const std::string& name, const SandboxEnd& end) const;
  // Renames the directory aside first, so that a sandbox is there as a whole or not at all.
  Result<> remove(const std::string& name) const;

  // ENOENT: no such sandbox.
  [[nodiscard]] Result<SandboxRecord> load(const std::string& name) const;
  // None while it runs, or when its supervisor was killed before it could say.
  [[nodiscard]] std::optional<SandboxEnd> end_of(const std::string& name) const;
  // All records that can be read, by name.
  [[nodiscard]] std::vector<SandboxRecord> all() const;

  [[nodiscard]] bool running(const SandboxRecord& record) const;
  // Removes what killed processes left behind: records that were never finished or never quite removed.
  void sweep() const;

 private:
  explicit RecordStore(std::string home) : home_(std::move(home)), sandboxes_(home_ + "/sandboxes") {}
  std::string home_;
  std::string sandboxes_;
};

[[nodiscard]] std::int64_t now_ms();
// A new SandboxRecord.id.
[[nodiscard]] std::string generate_id();

}  // namespace beam::runtime
