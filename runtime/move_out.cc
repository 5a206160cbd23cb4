#include "runtime/move_out.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/fault.h"
#include "base/log.h"
#include "runtime/decision.h"

namespace beam::runtime {
namespace {

constexpr std::size_t kPiece = 1U << 20U;
// Reading and verifying the image and rebuilding every process may take the other side its time.
constexpr int kThawPatience = 600'000;

}  // namespace

Result<MoveOut> MoveOut::begin(const Cluster& cluster, const Workstation& target, const std::string& home,
                               Offer offer) {
  BEAM_TRY_ASSIGN(auto link, Link::connect(cluster, target));
  // Asks whether it would be taken at all, before anything is stopped.
  BEAM_TRY(link.ask<Done>(offer));
  return MoveOut(std::move(link), home, std::move(offer));
}

Result<> MoveOut::send_file(const std::string& path, const std::string& name) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info {};
  if (!fd || ::fstat(fd.get(), &info) != 0) {
    return Error::from_errno("open " + path);
  }
  BEAM_TRY(link_.send(FileStart{name, (info.st_mode & S_IXUSR) != 0}));
  FileBytes piece;
  for (;;) {
    piece.bytes.resize(kPiece);
    const ssize_t got = ::read(fd.get(), piece.bytes.data(), piece.bytes.size());
    if (got < 0) {
      return Error::from_errno("read " + path);
    }
    if (got == 0) {
      return success();
    }
    piece.bytes.resize(static_cast<std::size_t>(got));
    BEAM_TRY(link_.send(piece));
    BEAM_TRY(link_.flush_all());
  }
}

Result<> MoveOut::transfer(const std::string& image, const std::vector<std::string>& logs) {
  if (fault_point("move.transfer")) {
    return Error(EIO, "move: fault point");
  }
  BEAM_LOG_INFO(kRuntime, "image made; sending it to {}", target());
  // Again, with what is known by now.
  BEAM_TRY(link_.send(offer_));
  std::error_code fault;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(image, fault)) {
    if (entry.is_regular_file()) {
      BEAM_TRY(send_file(entry.path(), "image/" + std::filesystem::relative(entry.path(), image).string()));
    }
  }
  if (fault) {
    return Error(fault.value(), "read " + image);
  }
  BEAM_LOG_INFO(kRuntime, "sent to {}", target());
  for (const std::string& log : logs) {
    BEAM_TRY(send_file(log, std::filesystem::path(log).filename()));
  }
  BEAM_TRY(link_.send(ImageEnd{}));
  link_.set_patience(kThawPatience);
  BEAM_TRY(link_.answer<Ready>());
  BEAM_LOG_INFO(kRuntime, "held at {}", target());
  link_.set_patience(Link::kPatience);
  return success();
}

Result<> MoveOut::decide() {
  if (fault_point("move.ready")) {
    return Error(EIO, "move: fault point");
  }
  BEAM_TRY_ASSIGN(const auto verdict, runtime::decide(home_, offer_.move, Decision::kGo));
  if (verdict != Decision::kGo) {
    return Error(0, target() + ": has given the sandbox up");
  }
  return success();
}

void MoveOut::drop() {
  const auto decided = runtime::decide(home_, offer_.move, Decision::kStay);
  if (!decided.ok()) {
    BEAM_LOG_ERROR(kRuntime, "{}", decided.error().message());
  }
  if (!link_.send(Drop{}).ok() || !link_.flush_all().ok()) {
    BEAM_LOG_INFO(kRuntime, "{}: did not hear that the sandbox stays", target());
  }
}

Result<> MoveOut::finish() {
  if (fault_point("move.decided")) {
    return Error(EIO, "move: fault point");
  }
  BEAM_TRY(link_.send(Commit{}));
  BEAM_TRY(link_.answer<Moved>());
  forget_decision(home_, offer_.move);
  return success();
}

}  // namespace beam::runtime
