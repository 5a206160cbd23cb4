// Requests of short verbs to a sandbox's supervisor.
#pragma once

#include "base/result.h"
#include "runtime/channel.h"
#include "runtime/record.h"

namespace beam::runtime {

// ESRCH: the sandbox doesn't run.
Result<Channel> connect(const RecordStore& store, const SandboxRecord& record);

// Sends `request` and waits for the Reply to it. What the supervisor refuses comes back as its error.
template <typename Reply, typename Request>
Result<Reply> ask(Channel& channel, const Request& request) {
  BEAM_TRY(channel.send(request));
  BEAM_TRY(channel.flush_all());
  BEAM_TRY_ASSIGN(const Frame frame, channel.receive());
  if (frame.type == MessageType::kFailed) {
    BEAM_TRY_ASSIGN(const auto failure, frame.as<Failed>());
    // The text has the reason already.
    return Error(0, failure.message);
  }
  return frame.as<Reply>();
}

}  // namespace beam::runtime
