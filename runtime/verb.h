// The verbs of `beam`: one file each (verb_NAME.cc), all in the table of verbs.cc.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "runtime/messages.h"
#include "runtime/record.h"
#include "runtime/supervisor_exit.h"

namespace beam::runtime {

// Exit statuses that the command line promises.
inline constexpr int kExitDone = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitNotFreezable = 3;
inline constexpr int kExitNoSuch = 4;
inline constexpr int kExitDamaged = 5;

struct Verb {
  const char* name;
  const char* summary;
  int (*main)(const std::vector<std::string>& arguments);
};

std::span<const Verb> verbs();

int verb_apply(const std::vector<std::string>& arguments);
int verb_attach(const std::vector<std::string>& arguments);
int verb_check(const std::vector<std::string>& arguments);
int verb_diff(const std::vector<std::string>& arguments);
int verb_doctor(const std::vector<std::string>& arguments);
int verb_exec(const std::vector<std::string>& arguments);
int verb_freeze(const std::vector<std::string>& arguments);
int verb_kill(const std::vector<std::string>& arguments);
int verb_lab(const std::vector<std::string>& arguments);
int verb_logs(const std::vector<std::string>& arguments);
int verb_migrate(const std::vector<std::string>& arguments);
int verb_prune(const std::vector<std::string>& arguments);
int verb_ps(const std::vector<std::string>& arguments);
int verb_rehearse(const std::vector<std::string>& arguments);
int verb_rm(const std::vector<std::string>& arguments);
int verb_run(const std::vector<std::string>& arguments);
int verb_show(const std::vector<std::string>& arguments);
int verb_thaw(const std::vector<std::string>& arguments);
int verb_tree(const std::vector<std::string>& arguments);
int verb_verify(const std::vector<std::string>& arguments);
int verb_version(const std::vector<std::string>& arguments);
int verb_wait(const std::vector<std::string>& arguments);
int verb_ws(const std::vector<std::string>& arguments);

// The command line of one verb. Every verb takes --help, -q, -v and --log-level.
class VerbLine {
 public:
  // `usage` is what follows the verb's name; `usage_status` is the exit status for a wrong command line.
  VerbLine(const char* verb, const char* summary, const char* usage, int usage_status);

  CLI::App& app() { return app_; }
  // From the first word after `positionals` others that is neither an option nor an option's value, words belong to a
  // command: options behind it are the command's own.
  void takes_command(std::size_t positionals) { command_after_ = positionals; }
  [[nodiscard]] const std::vector<std::string>& command() const { return command_; }

  // None: go on. Otherwise the verb ends with this status; help or the error has been printed.
  std::optional<int> parse(std::vector<std::string> arguments);
  // Says what is wrong with the command line; returns the status for that.
  [[nodiscard]] int wrong_usage(const std::string& what) const;

 private:
  std::optional<std::string> split_command(std::vector<std::string>& arguments);

  std::string verb_;
  int usage_status_;
  CLI::App app_;
  std::optional<std::size_t> command_after_;
  std::vector<std::string> command_;
  bool quiet_ = false;
  bool verbose_ = false;
  std::string log_level_;
};

// "beam: TEXT" on stderr, as one line.
void say(const std::string& text);
// Says it and returns `status`.
int fail(int status, const std::string& text);

// The sandboxes that `word` names: one by NAME, or all of a group by @GROUP. ENOENT: none.
Result<std::vector<SandboxRecord>> find_sandboxes(const RecordStore& store, const std::string& word);
// The one sandbox that `word` names. ENOENT: none; a group of several is an error as well.
Result<SandboxRecord> find_sandbox(const RecordStore& store, const std::string& word);
// Where another workstation of the cluster has it: runs this process's verb there, and returns its status. Otherwise
// says why looking up `word` failed; returns `no_such` where there is no such sandbox or group, `failed` otherwise.
int fail_lookup(const std::string& word, const Error& error, int no_such = kExitNoSuch, int failed = kExitFailed);
// Says that a sandbox couldn't be reached; returns `status`.
int fail_connect(const std::string& name, const Error& error, int status = kExitFailed);

// Says what stands in the way of freezing a sandbox; returns the status for that.
int refuse(const std::string& name, const Obstacles& obstacles);

// Prints one JSON document, or other text, and a newline on stdout.
int print_document(const std::string& text);
// The rest of a verb that leaves a new sandbox in the background: prints its NAME once it runs. `failed`: the status
// when Beam itself failed.
int finish_detached(UniqueFd socket, int failed);

}  // namespace beam::runtime
