#include "interpose/background_reader.h"

#include <algorithm>
#include <chrono>

#include "base/log.h"
#include "interpose/quiesce.h"
#include "interpose/shared.h"

namespace beam::interpose {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kTurn{5};

// How long the sandbox stood still for a turn. A sandbox of many processes takes its time to stop, which is to be worth
// it.
Result<Clock::duration> take_turn(Tracer& tracer) {
  const auto begin = Clock::now();
  BEAM_TRY_ASSIGN(const auto sandbox, QuiescedSandbox::begin(tracer, std::chrono::seconds(1)));
  const auto stopped = Clock::now();
  BEAM_TRY(read_in_until(*sandbox, stopped + std::max<Clock::duration>(kTurn, 2 * (stopped - begin))));
  sandbox->resume();
  return Clock::now() - begin;
}

}  // namespace

BackgroundReader::BackgroundReader(Shared& shared, Tracer& tracer)
    : shared_(shared), tracer_(tracer), thread_([this] { run(); }) {}

BackgroundReader::~BackgroundReader() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  stopped_.notify_one();
  thread_.join();
}

void BackgroundReader::run() {
  while (read_ahead(shared_)) {
    std::optional<Result<Clock::duration>> turn;
    tracer_.run_and_wait([&](Tracer& tracer) { turn = take_turn(tracer); });
    constexpr std::chrono::seconds kAfterFailure{1};
    Clock::duration pause = kAfterFailure;
    if (turn->ok()) {
      pause = **turn;
    } else {
      BEAM_LOG_WARN(kInterpose, "memory is still to be read in: {}", turn->error().message());
    }
    std::unique_lock lock(mutex_);
    if (stopped_.wait_for(lock, pause, [this] { return stop_; })) {
      return;
    }
  }
}

}  // namespace beam::interpose
