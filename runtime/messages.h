// What `beam` and a supervisor say to each other (and workstations: link_messages.h). One session is one connection:
// the client's first message says what it is for, and the supervisor's last one how it ended. A change of any message
// is a change of kProtocolVersion.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace beam::runtime {

inline constexpr std::uint16_t kProtocolVersion = 5;

enum class MessageType : std::uint16_t {
  // client to supervisor
  kExec = 1,
  kAttach,
  kQuery,
  kWait,
  kKill,
  kStop,
  kInput,
  kInputEnd,
  kResize,
  kForward,
  kResume,
  kFreeze,
  kCheck,
  kMigrate,
  kGo,
  // supervisor to client
  kStarted = 64,
  kOutput,
  kWantsTerminal,
  kStopped,
  kEnded,
  kStatus,
  kDone,
  kFailed,
  kFrozen,
  kObstacles,
  kHeld,
  // between workstations
  kOffer = 128,
  kFileStart,
  kFileBytes,
  kFileCopy,
  kImageEnd,
  kReady,
  kCommit,
  kDrop,
  kMoved,
  kDecisionRequest,
  kDecision,
  kLoadRequest,
  kLoad,
  kListRequest,
  kList,
  kRunVerb,
  kStreamBytes,
  kStreamEnd,
  kStreamTaken,
  kFilePatch,
};

// A message that its type says all of.
template <MessageType Type>
struct EmptyMessage {
  static constexpr MessageType kType = Type;
  template <typename Archive>
  void serialize(Archive&) {}
};

struct WindowSize {
  std::uint16_t rows = 0;
  std::uint16_t columns = 0;
  std::uint16_t x_pixels = 0;
  std::uint16_t y_pixels = 0;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(rows, columns, x_pixels, y_pixels);
  }
};

// How a process's streams and terminal are to be.
struct StreamSetup {
  // Bit n: descriptor n becomes the sandbox's pseudo-terminal. The others come along as descriptors, in order.
  std::uint8_t terminal_mask = 0;
  // The process may own the terminal from its start; otherwise it gets it when it first asks (messages.h,
  // kWantsTerminal).
  bool foreground = false;
  // The termios (as the kernel lays it out) of the client's terminal, or empty.
  std::string termios;
  WindowSize window;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(terminal_mask, foreground, termios, window);
  }
};

// Another process in the sandbox.
struct ExecRequest {
  static constexpr MessageType kType = MessageType::kExec;
  std::vector<std::string> argv;
  std::vector<std::string> environment;        // added to COMMAND's
  std::vector<std::string> unset_environment;  // names removed from it
  std::string working_directory;               // empty: COMMAND's
  std::uint32_t umask = 022;
  StreamSetup streams;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(argv, environment, unset_environment, working_directory, umask, streams);
  }
};

// The terminal of COMMAND.
struct AttachRequest {
  static constexpr MessageType kType = MessageType::kAttach;
  WindowSize window;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(window);
  }
};

// Answered by Status.
using QueryRequest = EmptyMessage<MessageType::kQuery>;

// Answered by Ended, at the end of the sandbox.
using WaitRequest = EmptyMessage<MessageType::kWait>;

// A signal from `beam kill`: answered by Done or Failed.
struct KillRequest {
  static constexpr MessageType kType = MessageType::kKill;
  std::int32_t vpid = 0;  // 0: COMMAND
  std::int32_t signal = 0;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(vpid, signal);
  }
};

// The end of the whole sandbox, as `rm -f` wants it: answered by Ended.
using StopRequest = EmptyMessage<MessageType::kStop>;

// Answered by Frozen, Obstacles or Failed.
struct FreezeRequest {
  static constexpr MessageType kType = MessageType::kFreeze;
  std::string image;  // absolute; must not exist
  bool keep_running = false;
  bool compress = false;
  bool self_contained = false;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(image, keep_running, compress, self_contained);
  }
};

// Answered by Obstacles or Failed.
using CheckRequest = EmptyMessage<MessageType::kCheck>;

// To another workstation of the cluster; answered by Done, Obstacles or Failed.
struct MigrateRequest {
  static constexpr MessageType kType = MessageType::kMigrate;
  std::string workstation;
  bool pre_copy = false;  // most of it is carried over while it runs
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(workstation, pre_copy);
  }
};

// A sandbox that was thawed held may run: answered as a launch is.
using Go = EmptyMessage<MessageType::kGo>;

struct Input {
  static constexpr MessageType kType = MessageType::kInput;
  std::string bytes;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(bytes);
  }
};

// The client's stdin has ended: the terminal's end-of-file character follows what was sent.
using InputEnd = EmptyMessage<MessageType::kInputEnd>;

struct Resize {
  static constexpr MessageType kType = MessageType::kResize;
  WindowSize window;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(window);
  }
};

// A signal that the client received and passes on. Those that a terminal's driver sent to the client's whole foreground
// process group go to the process group inside as well.
struct Forward {
  static constexpr MessageType kType = MessageType::kForward;
  std::int32_t signal = 0;
  bool to_group = false;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(signal, to_group);
  }
};

// The client runs again after it followed a stop; the process goes on, with the terminal if the client has its own.
struct Resume {
  static constexpr MessageType kType = MessageType::kResume;
  bool foreground = false;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(foreground);
  }
};

// The process has been executed.
struct Started {
  static constexpr MessageType kType = MessageType::kStarted;
  std::string name;
  std::int32_t vpid = 0;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(name, vpid);
  }
};

struct Output {
  static constexpr MessageType kType = MessageType::kOutput;
  std::string bytes;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(bytes);
  }
};

// A process that started in the background asks for its terminal (it read from it or set its modes).
struct WantsTerminal {
  static constexpr MessageType kType = MessageType::kWantsTerminal;
  bool sets_modes = false;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(sets_modes);
  }
};

// The process was stopped by this signal, as by ^Z.
struct Stopped {
  static constexpr MessageType kType = MessageType::kStopped;
  std::int32_t signal = 0;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(signal);
  }
};

// The process (or, after Wait and Stop, the sandbox) has ended.
struct Ended {
  static constexpr MessageType kType = MessageType::kEnded;
  std::int32_t exit_status = 0;  // as a shell gives it: 128+N for signal N
  std::string image;             // not empty: frozen to there
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(exit_status, image);
  }
};

struct ProcessStatus {
  std::int32_t vpid = 0;
  std::int32_t parent = 0;
  std::int32_t host_pid = 0;
  std::vector<std::int32_t> vtids;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(vpid, parent, host_pid, vtids);
  }
};

struct Status {
  static constexpr MessageType kType = MessageType::kStatus;
  std::int32_t command_vpid = 0;
  bool stopped = false;
  std::vector<ProcessStatus> processes;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(command_vpid, stopped, processes);
  }
};

struct Frozen {
  static constexpr MessageType kType = MessageType::kFrozen;
  std::uint64_t bytes = 0;  // of the image
  std::uint32_t processes = 0;
  std::uint32_t threads = 0;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(bytes, processes, threads);
  }
};

// All that stands in the way of a freeze.
struct Obstacles {
  static constexpr MessageType kType = MessageType::kObstacles;
  struct Entry {
    std::int32_t vpid = 0;
    std::string object;
    std::string reason;
    template <typename Archive>
    void serialize(Archive& archive) {
      archive(vpid, object, reason);
    }
  };
  std::vector<Entry> entries;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(entries);
  }
};

// A sandbox was thawed as far as it can be without running; it waits for Go.
struct Held {
  static constexpr MessageType kType = MessageType::kHeld;
  std::string name;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(name);
  }
};

using Done = EmptyMessage<MessageType::kDone>;

// What was asked for can't be done. `exit_status` is what a run or exec ends with.
struct Failed {
  static constexpr MessageType kType = MessageType::kFailed;
  std::int32_t exit_status = 0;
  std::int32_t code = 0;  // errno
  std::string message;    // "object: reason; remedy"
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(exit_status, code, message);
  }
};

}  // namespace beam::runtime
