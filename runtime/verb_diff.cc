// beam diff, beam apply: what a sandbox has changed of the workstation's files, and carrying it over.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "rootfs/layer_diff.h"
#include "runtime/file_io.h"
#include "runtime/json.h"
#include "runtime/verb.h"

namespace beam::runtime {
namespace {

using rootfs::LayerChange;
using Kind = LayerChange::Kind;

const char* letter(Kind kind) {
  return kind == Kind::kAdded ? "A" : kind == Kind::kModified ? "M" : "D";
}

Result<std::vector<LayerChange>> changes_of(const RecordStore& store, const SandboxRecord& record) {
  return rootfs::layer_changes(store.file(record.name, kLayer));
}

bool is_below(const std::string& path, const std::string& directory) {
  return path == directory || directory == "/" || path.starts_with(directory + "/");
}

// Absolute, without "." and "..", by its letters.
std::string whole(const std::string& path) {
  std::error_code code;
  std::string clean = std::filesystem::absolute(path, code).lexically_normal().string();
  while (clean.size() > 1 && clean.back() == '/') {
    clean.pop_back();
  }
  return clean;
}

}  // namespace

int verb_diff(const std::vector<std::string>& arguments) {
  VerbLine line("diff", "Prints what the sandbox has changed of the workstation's files: A, M or D and a PATH a line.",
                "[OPTIONS] NAME", kExitUsage);
  std::string name;
  bool json = false;
  line.app().add_flag("--json", json, "Print one JSON document");
  line.app().add_option("NAME", name, "The sandbox")->required();
  if (const auto done = line.parse(arguments)) {
    return *done;
  }
  const auto store = RecordStore::open();
  if (!store.ok()) {
    return fail(kExitFailed, store.error().message());
  }
  const auto record = find_sandbox(*store, name);
  if (!record.ok()) {
    return fail_lookup(name, record.error());
  }
  const auto changes = changes_of(*store, *record);
  if (!changes.ok()) {
    return fail(kExitFailed, name + ": " + changes.error().message());
  }
  if (json) {
    Json document = Json::array();
    for (const LayerChange& change : *changes) {
      document.push_back({{"change", letter(change.kind)}, {"path", change.path}});
    }
    return print_document(dump(document));
  }
  std::string text;
  for (const LayerChange& change : *changes) {
    text += std::string(letter(change.kind)) + " " + change.path + "\n";
  }
  const auto written = write_all(STDOUT_FILENO, text);
  return written.ok() ? kExitDone : fail(kExitFailed, "stdout: " + written.error().message());
}

int verb_apply(const std::vector<std::string>& arguments) {
  VerbLine line("apply", "Carries what the sandbox has changed over to the workstation's files.",
                "[OPTIONS] NAME [PATH...]", kExitUsage);
  std::string name;
  std::vector<std::string> paths;
  bool force = false;
  line.app().add_flag("-f,--force", force, "Also over files that the workstation has changed since");
  line.app().add_option("NAME", name, "The sandbox")->required();
  line.app().add_option("PATH", paths, "Only what is at or below PATH");
  if (const auto done = line.parse(arguments)) {
    return *done;
  }
  const auto store = RecordStore::open();
  if (!store.ok()) {
    return fail(kExitFailed, store.error().message());
  }
  const auto record = find_sandbox(*store, name);
  if (!record.ok()) {
    return fail_lookup(name, record.error());
  }
  auto changes = changes_of(*store, *record);
  if (!changes.ok()) {
    return fail(kExitFailed, name + ": " + changes.error().message());
  }
  std::vector<LayerChange> chosen;
  for (const std::string& path : paths) {
    const std::string place = whole(path);
    if (std::none_of(changes->begin(), changes->end(),
                     [&](const LayerChange& change) { return is_below(change.path, place); })) {
      return fail(kExitFailed, path + ": " + name + " has changed nothing there; see: beam diff " + name);
    }
  }
  for (LayerChange& change : *changes) {
    // What lies in a new directory needs the directory.
    const bool wanted = paths.empty() || std::any_of(paths.begin(), paths.end(), [&](const std::string& path) {
                          const std::string place = whole(path);
                          return is_below(change.path, place) ||
                                 (change.kind == Kind::kAdded && S_ISDIR(change.mode) && is_below(place, change.path));
                        });
    if (wanted) {
      chosen.push_back(std::move(change));
    }
  }
  if (!force) {
    std::string conflicts;
    for (const LayerChange& change : chosen) {
      if (change.changed_since) {
        conflicts += (conflicts.empty() ? "" : ", ") + change.path;
      }
    }
    if (!conflicts.empty()) {
      return fail(kExitFailed, conflicts +
                                   ": changed on the workstation since the sandbox took it; nothing was applied, " +
                                   "use --force to replace it, or name other paths");
    }
  }
  const auto applied = rootfs::apply_changes(chosen);
  return applied.ok() ? kExitDone : fail(kExitFailed, applied.error().message());
}

}  // namespace beam::runtime
