#include "runtime/decision.h"

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>

#include "migrate/image.h"
#include "runtime/file_io.h"
#include "runtime/paths.h"
#include "runtime/supervisor_exit.h"

namespace beam::runtime {
namespace {

constexpr const char* kGoText = "go\n";
constexpr const char* kStayText = "stay\n";

std::string directory_of(const std::string& home) {
  return home + "/moves";
}

Result<> make_durable(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0) {
    return Error::from_errno("write " + path);
  }
  return success();
}

}  // namespace

bool valid_move(const std::string& move) {
  return !move.empty() && move.size() <= 64 && move.find_first_not_of("0123456789abcdef-") == std::string::npos;
}

Result<Decision::Verdict> decide(const std::string& home, const std::string& move, Decision::Verdict verdict) {
  const std::string directory = directory_of(home);
  BEAM_TRY(make_private_directory(directory));
  const std::string path = directory + "/" + move;
  // A whole file appears under the name at once, or another's is there already.
  const std::string staging = path + "." + std::to_string(::getpid());
  BEAM_TRY(replace_file(staging, verdict == Decision::kGo ? kGoText : kStayText));
  const auto written = make_durable(staging);
  const bool first = written.ok() && ::link(staging.c_str(), path.c_str()) == 0;
  const int code = errno;
  ::unlink(staging.c_str());
  if (!written.ok()) {
    return written.error();
  }
  if (!first) {
    return code == EEXIST ? decision_of(home, move) : Result<Decision::Verdict>(Error(code, "write " + path));
  }
  BEAM_TRY(make_durable(directory));
  return verdict;
}

Result<Decision::Verdict> decision_of(const std::string& home, const std::string& move) {
  const auto text = read_file(directory_of(home) + "/" + move, 64);
  if (!text.ok()) {
    return text.error().code() == ENOENT ? Result<Decision::Verdict>(Decision::kOpen)
                                         : Result<Decision::Verdict>(text.error());
  }
  return *text == kGoText ? Decision::kGo : Decision::kStay;
}

void forget_decision(const std::string& home, const std::string& move) {
  ::unlink((directory_of(home) + "/" + move).c_str());
}

std::string outgoing_image(const std::string& home, const std::string& name, const std::string& move) {
  return home + "/outgoing/" + name + "." + move;
}

void adopt_outgoing(const RecordStore& store, const SandboxRecord& record) {
  const std::string prefix = record.name + ".";
  std::error_code fault;
  for (const auto& entry : std::filesystem::directory_iterator(store.home() + "/outgoing", fault)) {
    const std::string leaf = entry.path().filename();
    const std::string move = leaf.starts_with(prefix) ? leaf.substr(prefix.size()) : "";
    if (!valid_move(move) || !migrate::Image::open(entry.path()).ok()) {
      continue;
    }
    const auto verdict = decide(store.home(), move, Decision::kStay);
    if (verdict.ok() && *verdict == Decision::kStay) {
      (void)store.finish(record.name, SandboxEnd{kExitFrozen, entry.path(), now_ms()}).ok();
    } else if (verdict.ok()) {
      (void)store.remove(record.name).ok();
      std::filesystem::remove_all(entry.path(), fault);
    }
    return;
  }
}

}  // namespace beam::runtime
