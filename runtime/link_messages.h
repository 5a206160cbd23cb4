// What workstations say to each other over a Link. A connection is for one thing, which its first message says: a
// sandbox that moves (Offer), a decision, the load, a list of sandboxes, or a
// verb that is run there.
//
// A move: Offer, answered by Done; Offer again, as it is once the sandbox stands still, its files (FileStart,
// FileBytes, or FilePatch...: those of the image below "image/", and a detached one's logs) and ImageEnd; Ready once
// the sandbox is thawed and held; Commit, or Drop; Moved once it runs. At any point Failed ends it. Then, where
// somebody waits for the sandbox on the workstation that it left, the messages of that client's session and its streams
// pass both ways.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/messages.h"

namespace beam::runtime {

struct Offer {
  static constexpr MessageType kType = MessageType::kOffer;
  std::string move;  // names it in questions about its decision
  std::string id;    // of the sandbox
  std::string name;
  bool followed = false;     // somebody waits for it: session and streams pass over this connection
  std::uint8_t streams = 0;  // bit n: descriptor n is such a stream
  bool detached = false;
  bool remove_at_end = false;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(move, id, name, followed, streams, detached, remove_at_end);
  }
};

struct FileStart {
  static constexpr MessageType kType = MessageType::kFileStart;
  std::string name;
  bool executable = false;
  // A file that has been sent before, which becomes this one: cut or grown to `size`, and changed by FilePatch.
  std::string base;
  std::uint64_t size = 0;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(name, executable, base, size);
  }
};

struct FilePatch {
  static constexpr MessageType kType = MessageType::kFilePatch;
  std::uint64_t offset = 0;
  std::string bytes;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(offset, bytes);
  }
};

struct FileBytes {
  static constexpr MessageType kType = MessageType::kFileBytes;
  std::string bytes;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(bytes);
  }
};

// Bytes of a file that has been sent before, by its name.
struct FileCopy {
  static constexpr MessageType kType = MessageType::kFileCopy;
  std::string name;
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(name, offset, size);
  }
};

using ImageEnd = EmptyMessage<MessageType::kImageEnd>;
using Ready = EmptyMessage<MessageType::kReady>;
using Commit = EmptyMessage<MessageType::kCommit>;
using Drop = EmptyMessage<MessageType::kDrop>;
using Moved = EmptyMessage<MessageType::kMoved>;
using LoadRequest = EmptyMessage<MessageType::kLoadRequest>;

// What has become of a move, asked by the workstation that holds the thawed sandbox.
struct DecisionRequest {
  static constexpr MessageType kType = MessageType::kDecisionRequest;
  std::string move;
  std::string name;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(move, name);
  }
};

struct Decision {
  static constexpr MessageType kType = MessageType::kDecision;
  enum Verdict : std::uint8_t { kOpen, kGo, kStay };
  std::uint8_t verdict = kOpen;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(verdict);
  }
};

struct Load {
  static constexpr MessageType kType = MessageType::kLoad;
  double load = 0;  // processes that run or wait to, over the last minute: getloadavg(3)
  std::uint32_t sandboxes = 0;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(load, sandboxes);
  }
};

struct ListRequest {
  static constexpr MessageType kType = MessageType::kListRequest;
  bool all = false;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(all);
  }
};

// What `beam ps --json` prints of the sandboxes there.
struct List {
  static constexpr MessageType kType = MessageType::kList;
  std::string json;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(json);
  }
};

// A verb of `beam`, to be run there as it would be here. Its streams pass over this connection, and Ended says with
// what status it has ended.
struct RunVerb {
  static constexpr MessageType kType = MessageType::kRunVerb;
  std::vector<std::string> words;
  std::string directory;  // that relative paths among the words start from, if it is there as well
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(words, directory);
  }
};

struct StreamBytes {
  static constexpr MessageType kType = MessageType::kStreamBytes;
  std::uint8_t stream = 0;
  std::string bytes;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(stream, bytes);
  }
};

// Nothing more comes of this stream; sent against its direction: nobody reads it any more.
struct StreamEnd {
  static constexpr MessageType kType = MessageType::kStreamEnd;
  std::uint8_t stream = 0;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(stream);
  }
};

// So many bytes of the stream have been written where they belong.
struct StreamTaken {
  static constexpr MessageType kType = MessageType::kStreamTaken;
  std::uint8_t stream = 0;
  std::uint32_t bytes = 0;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(stream, bytes);
  }
};

}  // namespace beam::runtime
