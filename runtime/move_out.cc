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

constexpr std::size_t kPiece = 64U << 10U;  // stays in the processor's cache on its way
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
  BEAM_TRY(link_.send(FileStart{name, (info.st_mode & S_IXUSR) != 0, "", 0}));
  std::string piece;
  for (;;) {
    piece.resize(kPiece);
    const ssize_t got = ::read(fd.get(), piece.data(), piece.size());
    if (got < 0) {
      return Error::from_errno("read " + path);
    }
    if (got == 0) {
      return success();
    }
    BEAM_TRY(send_bytes(std::string_view(piece).substr(0, static_cast<std::size_t>(got))));
  }
}

Result<> MoveOut::send_changes(const std::string& path, const std::string& name, const std::string& base) {
  BEAM_TRY_ASSIGN(const auto was, MappedFile::open(base_ + "/" + base));
  BEAM_TRY_ASSIGN(const auto now, MappedFile::open(path));
  std::uint64_t changed = 0;
  const auto parts = differences(was.bytes(), now.bytes(), kPiece);
  for (const Difference& part : parts) {
    changed += part.size;
  }
  struct stat info {};
  const bool executable = ::stat(path.c_str(), &info) == 0 && (info.st_mode & S_IXUSR) != 0;
  if (changed > now.bytes().size() / 2) {
    // Much of it may have moved only: looked for page by page.
    BEAM_TRY(link_.send(FileStart{name, executable, "", 0}));
    BEAM_TRY_ASSIGN(const auto pages, ImageBase::open(base_, base_prefix_, base));
    return pages.split(
        now.bytes(),
        [this](const std::string& known, std::uint64_t offset, std::uint64_t size) {
          return link_.send(FileCopy{known, offset, size});
        },
        [this](std::string_view fresh) { return send_bytes(fresh); });
  }
  BEAM_TRY(link_.send(FileStart{name, executable, base_prefix_ + base, now.bytes().size()}));
  for (const Difference& part : parts) {
    BEAM_TRY(link_.send(FilePatch{part.offset, std::string(now.bytes().substr(part.offset, part.size))}));
    BEAM_TRY(link_.flush_all());
    sent_ += part.size;
  }
  return success();
}

Result<> MoveOut::send_bytes(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, kPiece);
    BEAM_TRY(link_.send(FileBytes{std::string(piece)}));
    BEAM_TRY(link_.flush_all());
    sent_ += piece.size();
    bytes.remove_prefix(piece.size());
  }
  return success();
}

Result<> MoveOut::send_image(const std::string& directory, const std::string& prefix) {
  std::error_code fault;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory, fault)) {
    if (!entry.is_regular_file()) {
      continue;
    }
    const std::string name = std::filesystem::relative(entry.path(), directory).string();
    if (!base_.empty() && std::filesystem::is_regular_file(base_ + "/" + name)) {
      BEAM_TRY(send_changes(entry.path(), prefix + name, name));
    } else {
      BEAM_TRY(send_file(entry.path(), prefix + name));
    }
  }
  return fault ? Result<>(Error(fault.value(), "read " + directory)) : success();
}

Result<std::uint64_t> MoveOut::send_ahead(const std::string& image) {
  const std::uint64_t before = sent_;
  const std::string prefix = "ahead-" + std::to_string(rounds_++) + "/";
  BEAM_TRY(send_image(image, prefix));
  BEAM_TRY(link_.flush_all());
  base_ = image;
  base_prefix_ = prefix;
  return sent_ - before;
}

Result<> MoveOut::transfer(const std::string& image, const std::vector<std::string>& logs) {
  if (fault_point("move.transfer")) {
    return Error(EIO, "move: fault point");
  }
  BEAM_LOG_INFO(kRuntime, "image made; sending it to {}", target());
  // Again, with what is known by now.
  BEAM_TRY(link_.send(offer_));
  BEAM_TRY(send_image(image, "image/"));
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
