#include "runtime/record.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/unique_fd.h"
#include "rootfs/layer_diff.h"
#include "runtime/file_io.h"
#include "runtime/json.h"
#include "runtime/paths.h"
#include "runtime/record_json.h"
#include "runtime/sandbox_name.h"

namespace beam::runtime {

namespace {

constexpr const char* kRecordFile = "sandbox.json";
constexpr const char* kEndFile = "end.json";
constexpr std::size_t kLargestRecord = 16U << 20U;

Result<std::string> current_boot_id() {
  BEAM_TRY_ASSIGN(std::string text, read_file("/proc/sys/kernel/random/boot_id", 128));
  while (!text.empty() && text.back() == '\n') {
    text.pop_back();
  }
  return text;
}

// Removes a directory that no record store shows any more. What can't be removed stays hidden and is tried again by
// prune.
void remove_tree(const std::string& path) {
  std::error_code ignored;
  rootfs::open_layer(path + "/" + kLayer);
  std::filesystem::remove_all(path, ignored);
}

}  // namespace

Json record_to_json(const SandboxRecord& record) {
  return Json{{"version", 1},
              {"id", record.id},
              {"name", record.name},
              {"group", record.group},
              {"workstation", record.workstation},
              {"host_name", record.host_name},
              {"network", record.network},
              {"address", record.address},
              {"published", record.published},
              {"working_directory", record.working_directory},
              {"command", record.command},
              {"created_ms", record.created_ms},
              {"detached", record.detached},
              {"terminal", record.terminal},
              {"remove_at_end", record.remove_at_end},
              {"socket", record.socket},
              {"supervisor",
               {{"pid", record.supervisor.pid},
                {"start_time", record.supervisor.start_time},
                {"boot_id", record.supervisor.boot_id}}}};
}

SandboxRecord record_from_json(const Json& json) {
  SandboxRecord record;
  record.id = json.value("id", std::string());
  json.at("name").get_to(record.name);
  json.at("group").get_to(record.group);
  json.at("workstation").get_to(record.workstation);
  json.at("host_name").get_to(record.host_name);
  record.network = json.value("network", std::string("host"));
  record.address = json.value("address", std::string());
  record.published = json.value("published", std::vector<std::string>());
  json.at("working_directory").get_to(record.working_directory);
  json.at("command").get_to(record.command);
  json.at("created_ms").get_to(record.created_ms);
  json.at("detached").get_to(record.detached);
  json.at("terminal").get_to(record.terminal);
  json.at("remove_at_end").get_to(record.remove_at_end);
  json.at("socket").get_to(record.socket);
  const Json& supervisor = json.at("supervisor");
  supervisor.at("pid").get_to(record.supervisor.pid);
  supervisor.at("start_time").get_to(record.supervisor.start_time);
  supervisor.at("boot_id").get_to(record.supervisor.boot_id);
  return record;
}

std::string generate_id() {
  std::array<unsigned char, 16> bytes{};
  // Never short for so few bytes (getrandom(2)).
  (void)::getrandom(bytes.data(), bytes.size(), 0);
  std::string id;
  for (const unsigned char byte : bytes) {
    constexpr const char* kDigits = "0123456789abcdef";
    id += kDigits[byte >> 4U];
    id += kDigits[byte & 15U];
  }
  return id;
}

std::int64_t now_ms() {
  struct timespec now {};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1000000;
}

Result<ProcessIdentity> ProcessIdentity::of(pid_t pid) {
  BEAM_TRY_ASSIGN(const std::string stat, read_file("/proc/" + std::to_string(pid) + "/stat", 4096));
  // The command, field 2, may hold anything; field 3 follows the last parenthesis.
  const auto paren = stat.rfind(')');
  if (paren == std::string::npos) {
    return Error(EIO, "read /proc/" + std::to_string(pid) + "/stat");
  }
  std::size_t position = paren + 1;
  for (int field = 3; field <= 22; ++field) {
    position = stat.find(' ', position);
    if (position == std::string::npos) {
      return Error(EIO, "read /proc/" + std::to_string(pid) + "/stat");
    }
    ++position;
  }
  ProcessIdentity identity;
  identity.pid = pid;
  identity.start_time = std::strtoull(stat.c_str() + position, nullptr, 10);
  BEAM_TRY_ASSIGN(identity.boot_id, current_boot_id());
  // A zombie runs nothing any more.
  if (stat[paren + 2] == 'Z' || stat[paren + 2] == 'X') {
    return Error(ESRCH, "process " + std::to_string(pid));
  }
  return identity;
}

bool ProcessIdentity::alive() const {
  const auto current = of(pid);
  return current.ok() && current->start_time == start_time && current->boot_id == boot_id;
}

Result<RecordStore> RecordStore::create() {
  BEAM_TRY_ASSIGN(const std::string home, home_path());
  RecordStore store(home);
  for (const auto& path : {home, store.sandboxes_}) {
    auto directory = make_private_directory(path);
    if (!directory.ok()) {
      return std::move(directory).error().remedy("or set BEAM_HOME to a directory of yours");
    }
    if (::faccessat(directory->get(), ".", W_OK | X_OK, AT_EACCESS) != 0) {
      return Error::from_errno(path + ": cannot write").remedy("set BEAM_HOME to a directory of yours");
    }
  }
  return store;
}

Result<RecordStore> RecordStore::open() {
  BEAM_TRY_ASSIGN(const std::string home, home_path());
  RecordStore store(home);
  for (const auto& path : {home, store.sandboxes_}) {
    auto directory = open_private_directory(path);
    if (!directory.ok() && directory.error().code() != ENOENT) {
      return std::move(directory).error().remedy("or set BEAM_HOME to a directory of yours");
    }
  }
  return store;
}

Result<> RecordStore::add(const SandboxRecord& record) const {
  // Asked first, so that a name in use costs no directory; the rename below is what decides.
  const std::string target = directory(record.name);
  if (::access(target.c_str(), F_OK) == 0) {
    return Error(EEXIST, "sandbox " + record.name);
  }
  std::string staging = sandboxes_ + "/.new-XXXXXX";
  if (::mkdtemp(staging.data()) == nullptr) {
    return Error::from_errno(staging + ": cannot create");
  }
  auto written = write_file(staging + "/" + kRecordFile, dump(record_to_json(record)) + "\n");
  if (!written.ok()) {
    remove_tree(staging);
    return std::move(written).error();
  }
  // A record's directory is never empty, so that rename(2) can't replace one.
  if (::rename(staging.c_str(), target.c_str()) != 0) {
    const int code = errno == ENOTEMPTY ? EEXIST : errno;
    remove_tree(staging);
    return Error(code, "sandbox " + record.name);
  }
  return success();
}

Result<std::string> RecordStore::replace(const SandboxRecord& record) const {
  // Two thaws of one image must not take each other's record for the old one.
  const UniqueFd lock(::open(sandboxes_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock || ::flock(lock.get(), LOCK_EX) != 0) {
    return Error::from_errno(sandboxes_ + ": cannot lock");
  }
  BEAM_TRY_ASSIGN(const SandboxRecord old, load(record.name));
  if (old.id.empty() || old.id != record.id || running(old)) {
    return Error(EEXIST, "sandbox " + record.name);
  }
  const auto end = end_of(old.name);
  std::string aside = sandboxes_ + "/.old-XXXXXX";
  if (::mkdtemp(aside.data()) == nullptr) {
    return Error::from_errno(aside + ": cannot create");
  }
  if (::rename(directory(old.name).c_str(), aside.c_str()) != 0) {
    auto error = Error::from_errno("sandbox " + old.name + ": cannot replace");
    ::rmdir(aside.c_str());
    return error;
  }
  auto added = add(record);
  if (!added.ok()) {
    restore_replaced(old.name, aside);
    return std::move(added).error();
  }
  if (end && !end->image.empty()) {
    for (const char* log : {kStdoutLog, kStderrLog}) {
      // One that isn't there has nothing to go on with.
      (void)::link((aside + "/" + log).c_str(), file(record.name, log).c_str());
    }
  }
  return aside;
}

void RecordStore::drop_replaced(const std::string& aside) const {
  remove_tree(aside);
}

void RecordStore::restore_replaced(const std::string& name, const std::string& aside) const {
  // Its place may be taken meanwhile by another sandbox of the name: then prune removes it.
  ::renameat2(AT_FDCWD, aside.c_str(), AT_FDCWD, directory(name).c_str(), RENAME_NOREPLACE);
}

Result<> RecordStore::finish(const std::string& name, const SandboxEnd& end) const {
  const Json json{{"version", 1}, {"exit_status", end.exit_status}, {"image", end.image}, {"ended_ms", end.ended_ms}};
  return replace_file(file(name, kEndFile), dump(json) + "\n");
}

Result<> RecordStore::remove(const std::string& name) const {
  std::string aside = sandboxes_ + "/.old-XXXXXX";
  if (::mkdtemp(aside.data()) == nullptr) {
    return Error::from_errno(aside + ": cannot create");
  }
  if (::rename(directory(name).c_str(), aside.c_str()) != 0) {
    auto error = Error::from_errno("sandbox " + name + ": cannot remove");
    ::rmdir(aside.c_str());
    return error;
  }
  remove_tree(aside);
  return success();
}

Result<SandboxRecord> RecordStore::load(const std::string& name) const {
  if (!valid_name(name)) {
    return Error(ENOENT, name);
  }
  auto text = read_file(file(name, kRecordFile), kLargestRecord);
  if (!text.ok()) {
    return std::move(text).error();
  }
  try {
    return record_from_json(Json::parse(*text));
  } catch (const Json::exception& fault) {
    return Error(0, file(name, kRecordFile) + ": is damaged (" + fault.what() + "); remove it: beam rm -f " + name);
  }
}

std::optional<SandboxEnd> RecordStore::end_of(const std::string& name) const {
  const auto text = read_file(file(name, kEndFile), kLargestRecord);
  if (!text.ok()) {
    return std::nullopt;
  }
  try {
    const Json json = Json::parse(*text);
    return SandboxEnd{json.at("exit_status").get<int>(), json.at("image").get<std::string>(),
                      json.at("ended_ms").get<std::int64_t>()};
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

std::vector<SandboxRecord> RecordStore::all() const {
  std::vector<SandboxRecord> records;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(sandboxes_, ignored)) {
    auto record = load(entry.path().filename().string());
    if (record.ok()) {
      records.push_back(std::move(record).value());
    }
  }
  std::sort(records.begin(), records.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return records;
}

void RecordStore::sweep() const {
  // A staging directory of a client that is at work right now is younger.
  constexpr auto kOldEnough = std::chrono::minutes(1);
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(sandboxes_, ignored)) {
    const std::string leaf = entry.path().filename().string();
    if ((leaf.starts_with(".new-") || leaf.starts_with(".old-")) &&
        entry.last_write_time(ignored) + kOldEnough < std::filesystem::file_time_type::clock::now()) {
      remove_tree(entry.path().string());
    }
  }
}

bool RecordStore::running(const SandboxRecord& record) const {
  return !end_of(record.name).has_value() && record.supervisor.alive();
}

}  // namespace beam::runtime
