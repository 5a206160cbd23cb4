// What became of a move: $BEAM_HOME/moves/ID on the workstation that the sandbox leaves. It is written once, durably,
// before anything follows from it; who comes later finds what was decided. So at most one side ever runs.
#pragma once

#include <string>

#include "base/result.h"
#include "runtime/link_messages.h"
#include "runtime/record.h"

namespace beam::runtime {

// Decides, unless it has been decided: what holds now.
Result<Decision::Verdict> decide(const std::string& home, const std::string& move, Decision::Verdict verdict);
// kOpen: nobody has decided.
Result<Decision::Verdict> decision_of(const std::string& home, const std::string& move);
// Nobody will ask any more.
void forget_decision(const std::string& home, const std::string& move);
// Where the image of a sandbox that moves away is made.
[[nodiscard]] std::string outgoing_image(const std::string& home, const std::string& name, const std::string& move);
// For a sandbox whose supervisor was killed while it moved away: unless it has come to run elsewhere, its image becomes
// what it was frozen to.
void adopt_outgoing(const RecordStore& store, const SandboxRecord& record);
// Whether `move` can name one.
[[nodiscard]] bool valid_move(const std::string& move);

}  // namespace beam::runtime
