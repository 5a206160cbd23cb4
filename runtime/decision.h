// What became of a move: $BEAM_HOME/moves/ID on the workstation that the sandbox leaves. It is written once, durably,
// before anything follows from it; who comes later finds what was decided. So at most one side ever runs.
#pragma once

#include <string>

#include "base/result.h"
#include "runtime/link_messages.h"

namespace beam::runtime {

// Decides, unless it has been decided: what holds now.
Result<Decision::Verdict> decide(const std::string& home, const std::string& move, Decision::Verdict verdict);
// kOpen: nobody has decided.
Result<Decision::Verdict> decision_of(const std::string& home, const std::string& move);
// Nobody will ask any more.
void forget_decision(const std::string& home, const std::string& move);
// Whether `move` can name one.
[[nodiscard]] bool valid_move(const std::string& move);

}  // namespace beam::runtime
