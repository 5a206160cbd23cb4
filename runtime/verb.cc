#include "runtime/verb.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "base/log.h"
#include "runtime/elsewhere.h"
#include "runtime/file_io.h"
#include "runtime/obstacles.h"
#include "runtime/paths.h"
#include "runtime/sandbox_name.h"

namespace beam::runtime {
namespace {

class UsageFormatter : public CLI::Formatter {
 public:
  explicit UsageFormatter(std::string usage) : usage_(std::move(usage)) { column_width(34); }
  std::string make_usage(const CLI::App*, std::string name) const override {
    return "Usage: " + name + " " + usage_ + "\n";
  }

 private:
  std::string usage_;
};

bool parse_level(const std::string& text, log::Level& level) {
  constexpr std::array<const char*, 5> kNames = {"trace", "debug", "info", "warn", "error"};
  const auto found = std::find(kNames.begin(), kNames.end(), text);
  level = static_cast<log::Level>(found - kNames.begin());
  return found != kNames.end();
}

// The command line of this process, for where it has to be run on another workstation.
std::vector<std::string> words_of_verb;

}  // namespace

VerbLine::VerbLine(const char* verb, const char* summary, const char* usage, int usage_status)
    : verb_(verb), usage_status_(usage_status), app_(summary, std::string("beam ") + verb) {
  app_.formatter(std::make_shared<UsageFormatter>(usage));
  app_.set_help_flag("--help,-h", "Print this help");
  app_.add_flag("-q,--quiet", quiet_, "Say nothing but errors");
  app_.add_flag("-v,--verbose", verbose_, "Say more about what is done");
  app_.add_option("--log-level", log_level_, "trace, debug, info, warn or error")->type_name("LEVEL");
}

int VerbLine::wrong_usage(const std::string& what) const {
  return fail(usage_status_, verb_ + ": " + what + "; see: beam " + verb_ + " --help");
}

// Takes the command off `arguments`. Returns what is wrong, if anything is.
std::optional<std::string> VerbLine::split_command(std::vector<std::string>& arguments) {
  std::size_t positionals = *command_after_;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    const auto take_from = [&](std::size_t from) {
      command_.assign(arguments.begin() + static_cast<std::ptrdiff_t>(from), arguments.end());
      arguments.resize(i);
    };
    if (word == "--") {
      if (positionals > 0) {
        return "an argument is missing before --";
      }
      take_from(i + 1);
      return std::nullopt;
    }
    if (word.size() < 2 || word.front() != '-') {
      if (positionals == 0) {
        take_from(i);
        return std::nullopt;
      }
      --positionals;
      continue;
    }
    // An option: does the next word belong to it?
    const bool is_long = word[1] == '-';
    if (is_long && word.find('=') != std::string::npos) {
      continue;
    }
    std::size_t letter = 1;
    const CLI::Option* option = app_.get_option_no_throw(is_long ? word : word.substr(0, 2));
    while (!is_long && option != nullptr && option->get_items_expected_max() == 0 && letter + 1 < word.size()) {
      ++letter;
      option = app_.get_option_no_throw(std::string("-") + word[letter]);
    }
    if (option == nullptr) {
      return (is_long ? word : std::string("-") + word[letter]) + ": unknown option";
    }
    if (option->get_items_expected_max() > 0 && (is_long || letter + 1 == word.size())) {
      ++i;
    }
  }
  return std::nullopt;
}

std::optional<int> VerbLine::parse(std::vector<std::string> arguments) {
  words_of_verb = arguments;
  words_of_verb.insert(words_of_verb.begin(), verb_);
  if (command_after_.has_value()) {
    if (const auto fault = split_command(arguments)) {
      return wrong_usage(*fault);
    }
  }
  // CLI11 takes the words last to first.
  std::reverse(arguments.begin(), arguments.end());
  try {
    app_.parse(std::move(arguments));
  } catch (const CLI::CallForHelp&) {
    const std::string help = app_.help();
    return write_all(STDOUT_FILENO, help).ok() ? kExitDone : usage_status_;
  } catch (const CLI::ParseError& fault) {
    std::string what = fault.what();
    std::replace(what.begin(), what.end(), '\n', ' ');
    return wrong_usage(what);
  }
  log::Level level = log::Level::kWarn;
  if (!log_level_.empty() && !parse_level(log_level_, level)) {
    return wrong_usage("--log-level: '" + log_level_ + "' is no level; use trace, debug, info, warn or error");
  }
  if (log_level_.empty() && (quiet_ || verbose_)) {
    level = quiet_ ? log::Level::kError : log::Level::kInfo;
  }
  log::init(level);
  return std::nullopt;
}

void say(const std::string& text) {
  std::string line = "beam: ";
  for (const char c : text) {
    // One line, and nothing that a terminal would obey.
    line += static_cast<unsigned char>(c) < ' ' || c == 0x7f ? '?' : c;
  }
  line += '\n';
  (void)write_all(STDERR_FILENO, line).ok();
}

int fail(int status, const std::string& text) {
  say(text);
  return status;
}

Result<std::vector<SandboxRecord>> find_sandboxes(const RecordStore& store, const std::string& word) {
  if (word.starts_with('@')) {
    std::vector<SandboxRecord> members = store.all();
    std::erase_if(members, [group = word.substr(1)](const SandboxRecord& record) { return record.group != group; });
    if (members.empty()) {
      return Error(ENOENT, word);
    }
    return members;
  }
  auto record = store.load(word);
  if (!record.ok()) {
    if (record.error().code() == ENOENT || record.error().code() == ENOTDIR) {
      return Error(ENOENT, word);
    }
    return std::move(record).error();
  }
  return std::vector<SandboxRecord>{std::move(record).value()};
}

Result<SandboxRecord> find_sandbox(const RecordStore& store, const std::string& word) {
  BEAM_TRY_ASSIGN(auto found, find_sandboxes(store, word));
  if (found.size() != 1) {
    return Error(0, word + ": is a group of " + std::to_string(found.size()) + " sandboxes; name one of them");
  }
  return std::move(found.front());
}

int fail_lookup(const std::string& word, const Error& error, int no_such, int failed) {
  if (error.code() == ENOENT) {
    if (const auto home = home_path(); home.ok() && !words_of_verb.empty()) {
      if (const auto status = run_elsewhere(*home, word, words_of_verb)) {
        return *status;
      }
    }
    return fail(no_such,
                word + (word.starts_with('@') ? ": no such group" : ": no such sandbox") + "; see: beam ps -a");
  }
  return fail(failed, error.message());
}

int fail_connect(const std::string& name, const Error& error, int status) {
  return fail(status, error.code() == ESRCH ? name + ": is not running; see: beam ps -a" : error.message());
}

int refuse(const std::string& name, const Obstacles& obstacles) {
  for (const auto& obstacle : obstacles.entries) {
    say(describe(name, obstacle));
  }
  return kExitNotFreezable;
}

int print_document(const std::string& text) {
  const auto written = write_all(STDOUT_FILENO, text + "\n");
  return written.ok() ? kExitDone : fail(kExitFailed, "stdout: " + written.error().message());
}

}  // namespace beam::runtime
