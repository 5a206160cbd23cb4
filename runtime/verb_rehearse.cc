// beam rehearse: a command natively, and again while it is moved about a lab, or frozen and thawed; what differs.
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <random>
#include <thread>

#include "runtime/file_io.h"
#include "runtime/lab.h"
#include "runtime/launch.h"
#include "runtime/paths.h"
#include "runtime/tree_compare.h"
#include "runtime/verb.h"

extern char** environ;

namespace beam::runtime {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr unsigned kWorkstations = 3;
constexpr const char* kName = "rehearsal";

struct RehearseOptions {
  unsigned moves = 10;
  unsigned every_ms = 200;
  bool freeze_only = false;
  std::optional<std::uint64_t> seed;
};

volatile sig_atomic_t interrupted = 0;

void note_interrupt(int signal) {
  interrupted = signal;
}

// A process that was started for the rehearsal, with the streams of one run.
struct Streams {
  int input;
  int output;
  int errors;
};

Result<pid_t> start(const std::string& program, std::vector<std::string> words, const std::string& directory,
                    const Streams& streams) {
  std::vector<char*> argv;
  for (std::string& word : words) {
    argv.push_back(word.data());
  }
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawnattr_init(&attributes);
  ::posix_spawn_file_actions_addchdir_np(&actions, directory.c_str());
  ::posix_spawn_file_actions_adddup2(&actions, streams.input, 0);
  ::posix_spawn_file_actions_adddup2(&actions, streams.output, 1);
  ::posix_spawn_file_actions_adddup2(&actions, streams.errors, 2);
  // ^C is for the rehearsal, which ends them.
  ::posix_spawnattr_setpgroup(&attributes, 0);
  sigset_t defaults;
  ::sigemptyset(&defaults);
  ::sigaddset(&defaults, SIGINT);
  ::sigaddset(&defaults, SIGTERM);
  ::posix_spawnattr_setsigdefault(&attributes, &defaults);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
  pid_t child = -1;
  const int fault = ::posix_spawn(&child, program.c_str(), &actions, &attributes, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  if (fault != 0) {
    return Error(fault, words.front());
  }
  return child;
}

// Until the process has ended, or `deadline` has come: then none.
std::optional<int> wait_until(pid_t child, std::optional<steady_clock::time_point> deadline) {
  for (;;) {
    int status = 0;
    if (::waitpid(child, &status, WNOHANG) == child) {
      return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
    if (deadline && steady_clock::now() >= *deadline) {
      return std::nullopt;
    }
    if (interrupted != 0) {
      ::kill(-child, SIGKILL);
      deadline.reset();
    }
    std::this_thread::sleep_for(milliseconds(2));
  }
}

class Rehearsal {
 public:
  Rehearsal(RehearseOptions options, std::vector<std::string> command)
      : options_(options), command_(std::move(command)), random_(*options.seed) {}
  ~Rehearsal() { clean_up(); }
  Rehearsal(const Rehearsal&) = delete;
  Rehearsal& operator=(const Rehearsal&) = delete;

  // The status of the verb.
  int run();

 private:
  Result<> set_up();
  Result<> take_input();
  Result<int> run_natively();
  Result<int> run_moved();
  Result<pid_t> start_moved();
  // None: it goes on. Otherwise what it has ended with.
  Result<std::optional<int>> disturb(pid_t& child);
  Result<std::optional<int>> freeze_and_thaw(pid_t& child);
  Result<std::optional<int>> move();
  Result<int> beam(const std::vector<std::string>& words);
  Result<UniqueFd> open_output(const std::string& leaf) const;
  Result<> fresh_directory();
  [[nodiscard]] std::string path(const std::string& leaf) const { return directory_ + "/" + leaf; }
  int compare(int native, int moved);
  void clean_up();

  RehearseOptions options_;
  std::vector<std::string> command_;
  std::mt19937_64 random_;
  std::string directory_;
  std::string origin_;
  std::string beam_;
  std::string executable_;
  std::vector<std::string> environment_;  // COMMAND's
  std::optional<Lab> lab_;
  std::string at_ = "ws1";
  unsigned moved_ = 0;
  bool refused_ = false;
  std::string refusal_;  // what was said then
};

Result<UniqueFd> Rehearsal::open_output(const std::string& leaf) const {
  UniqueFd fd(::open(path(leaf).c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  return fd ? Result<UniqueFd>(std::move(fd)) : Result<UniqueFd>(Error::from_errno("create " + path(leaf)));
}

// Both runs get the same.
Result<> Rehearsal::take_input() {
  const UniqueFd file(::open(path("input").c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file) {
    return Error::from_errno("create " + path("input"));
  }
  if (::isatty(STDIN_FILENO) != 0) {
    return success();
  }
  std::array<char, 65536> buffer{};
  ssize_t got = 0;
  while ((got = ::read(STDIN_FILENO, buffer.data(), buffer.size())) > 0) {
    BEAM_TRY(write_all(file.get(), std::string_view(buffer.data(), static_cast<std::size_t>(got))));
  }
  return success();
}

Result<> Rehearsal::set_up() {
  environment_ = current_environment();
  const char* temporary = ::getenv("TMPDIR");
  directory_ = std::string(temporary != nullptr && *temporary != '\0' ? temporary : "/tmp") + "/beam-rehearse-XXXXXX";
  if (::mkdtemp(directory_.data()) == nullptr) {
    directory_.clear();
    return Error::from_errno("make a directory for the rehearsal").remedy("set TMPDIR to one that can be written");
  }
  std::error_code fault;
  directory_ = std::filesystem::canonical(directory_, fault).string();
  origin_ = std::filesystem::current_path(fault).string();
  if (fault) {
    return Error(fault.value(), "working directory: cannot be read");
  }
  BEAM_TRY_ASSIGN(beam_, helper_path("beam"));
  BEAM_TRY_ASSIGN(executable_, find_executable(command_.front(), environment_, origin_));
  BEAM_TRY(take_input());
  ::setenv("BEAM_HOME", path("home").c_str(), 1);
  BEAM_TRY(make_private_directory(path("home")));
  if (!options_.freeze_only) {
    BEAM_TRY_ASSIGN(lab_, Lab::make(path("home"), kWorkstations));
  }
  return success();
}

// The working directory of a run: a copy of this one, each time under the same name.
Result<> Rehearsal::fresh_directory() {
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  BEAM_TRY_ASSIGN(const pid_t copy, start("/bin/cp", {"cp", "-a", "--reflink=auto", origin_, path("work")}, "/",
                                          Streams{null.get(), null.get(), STDERR_FILENO}));
  const auto status = wait_until(copy, std::nullopt);
  if (status != 0) {
    return Error(0, origin_ + ": cannot be copied for the rehearsal").remedy("run it in a directory of its own");
  }
  return success();
}

Result<int> Rehearsal::run_natively() {
  BEAM_TRY(fresh_directory());
  const UniqueFd input(::open(path("input").c_str(), O_RDONLY | O_CLOEXEC));
  BEAM_TRY_ASSIGN(const UniqueFd output, open_output("native.out"));
  BEAM_TRY_ASSIGN(const UniqueFd errors, open_output("native.err"));
  const char* home = find_variable(environment_, "BEAM_HOME");
  const std::string kept = ::getenv("BEAM_HOME");
  home != nullptr ? ::setenv("BEAM_HOME", home, 1) : ::unsetenv("BEAM_HOME");
  auto child = start(executable_, command_, path("work"), Streams{input.get(), output.get(), errors.get()});
  ::setenv("BEAM_HOME", kept.c_str(), 1);
  if (!child.ok()) {
    return child.error();
  }
  const int status = *wait_until(*child, std::nullopt);
  if (::rename(path("work").c_str(), path("native").c_str()) != 0) {
    return Error::from_errno("rename " + path("work"));
  }
  return status;
}

Result<pid_t> Rehearsal::start_moved() {
  const UniqueFd input(::open(path("input").c_str(), O_RDONLY | O_CLOEXEC));
  BEAM_TRY_ASSIGN(const UniqueFd output, open_output("moved.out"));
  BEAM_TRY_ASSIGN(const UniqueFd errors, open_output("moved.err"));
  std::vector<std::string> words = {"beam", "run", "--name", kName, "--unset-env", "BEAM_WORKSTATION"};
  if (const char* home = find_variable(environment_, "BEAM_HOME"); home != nullptr) {
    words.insert(words.end(), {"--env", std::string("BEAM_HOME=") + home});
  } else {
    words.insert(words.end(), {"--unset-env", "BEAM_HOME"});
  }
  // What it leaves in its directory is compared; what it writes elsewhere is the sandbox's own.
  words.insert(words.end(), {"--rw", path("work")});
  words.emplace_back("--");
  words.insert(words.end(), command_.begin(), command_.end());
  if (lab_) {
    enter(*lab_->find(at_));
  }
  return start(beam_, words, path("work"), Streams{input.get(), output.get(), errors.get()});
}

// A verb of beam beside the run, on the workstation where that is; its words go to stderr.
Result<int> Rehearsal::beam(const std::vector<std::string>& words) {
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  BEAM_TRY_ASSIGN(const UniqueFd errors, open_output("beam.err"));
  if (::ftruncate(errors.get(), 0) != 0) {
    return Error::from_errno("truncate " + path("beam.err"));
  }
  std::vector<std::string> all = {"beam"};
  all.insert(all.end(), words.begin(), words.end());
  if (lab_) {
    enter(*lab_->find(at_));
  }
  BEAM_TRY_ASSIGN(const pid_t child, start(beam_, all, "/", Streams{null.get(), null.get(), errors.get()}));
  return *wait_until(child, std::nullopt);
}

Result<std::optional<int>> Rehearsal::freeze_and_thaw(pid_t& child) {
  const std::string image = path("image-" + std::to_string(moved_));
  BEAM_TRY_ASSIGN(const int status, beam({"freeze", kName, "-o", image}));
  if (status != kExitDone) {
    refused_ = status == kExitNotFreezable;
    return refused_ ? std::optional(status) : wait_until(child, std::nullopt);
  }
  const auto ended = wait_until(child, std::nullopt);
  if (ended != kExitFrozen) {
    return ended;
  }
  ++moved_;
  const UniqueFd input(::open(path("input").c_str(), O_RDONLY | O_CLOEXEC));
  BEAM_TRY_ASSIGN(const UniqueFd output, open_output("moved.out"));
  BEAM_TRY_ASSIGN(const UniqueFd errors, open_output("moved.err"));
  BEAM_TRY_ASSIGN(
      child, start(beam_, {"beam", "thaw", image}, path("work"), Streams{input.get(), output.get(), errors.get()}));
  std::error_code ignored;
  if (moved_ > 1) {
    std::filesystem::remove_all(path("image-" + std::to_string(moved_ - 2)), ignored);
  }
  return std::optional<int>();
}

Result<std::optional<int>> Rehearsal::move() {
  std::vector<std::string> others;
  for (const LabWorkstation& workstation : lab_->workstations()) {
    if (workstation.name != at_) {
      others.push_back(workstation.name);
    }
  }
  const std::string target = others[random_() % others.size()];
  BEAM_TRY_ASSIGN(const int status, beam({"migrate", kName, target}));
  if (status == kExitDone) {
    at_ = target;
    ++moved_;
  }
  refused_ = status == kExitNotFreezable;
  return refused_ ? std::optional(status) : std::nullopt;
}

Result<std::optional<int>> Rehearsal::disturb(pid_t& child) {
  return lab_ ? move() : freeze_and_thaw(child);
}

Result<int> Rehearsal::run_moved() {
  BEAM_TRY(fresh_directory());
  BEAM_TRY_ASSIGN(pid_t child, start_moved());
  // Beside it, so that a program that answers to its environment meets all kinds of moments.
  std::uniform_int_distribution<std::int64_t> pause(options_.every_ms / 2, options_.every_ms + options_.every_ms / 2);
  for (unsigned i = 0; i < options_.moves; ++i) {
    if (const auto ended = wait_until(child, steady_clock::now() + milliseconds(pause(random_)))) {
      return *ended;
    }
    BEAM_TRY_ASSIGN(const auto ended, disturb(child));
    if (ended) {
      if (refused_) {
        if (auto said = read_file(path("beam.err"), 1U << 20U); said.ok()) {
          refusal_ = std::move(*said);
        }
        (void)beam({"rm", "-f", kName});
        (void)wait_until(child, std::nullopt);
      }
      return *ended;
    }
  }
  return *wait_until(child, std::nullopt);
}

int Rehearsal::compare(int native, int moved) {
  const auto differ = [this](const std::string& what) {
    say("rehearse: " + quote_command(command_) + ": " + what + " (after " + std::to_string(moved_) +
        (options_.freeze_only ? " freezes)" : " moves)") + "; to repeat it: --seed " + std::to_string(*options_.seed));
    return kExitFailed;
  };
  if (native != moved) {
    const auto errors = read_file(path("moved.err"), 1U << 20U);
    std::string tail = errors.ok() ? *errors : "";
    tail = tail.substr(tail.size() > 400 ? tail.size() - 400 : 0);
    return differ("exit status " + std::to_string(native) + " natively, " + std::to_string(moved) + " moved" +
                  (tail.empty() ? "" : "; it said: " + tail));
  }
  const auto output = first_difference(path("native.out"), path("moved.out"));
  const auto files = output.ok() && !*output ? first_tree_difference(path("native"), path("work")) : output;
  if (!output.ok() || !files.ok()) {
    return fail(kExitFailed, (output.ok() ? files : output).error().message());
  }
  if (*output) {
    return differ("stdout " + **output);
  }
  if (*files) {
    return differ(**files);
  }
  std::string command = quote_command(command_);
  std::replace_if(
      command.begin(), command.end(), [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; }, ' ');
  return print_document(command + ": the same stdout, exit status and files after " + std::to_string(moved_) +
                        (options_.freeze_only ? " freezes" : " moves"));
}

int Rehearsal::run() {
  if (const auto ready = set_up(); !ready.ok()) {
    const int code = ready.error().code();
    return fail(kExitFailed, executable_.empty() && is_launch_error(code) && !beam_.empty()
                                 ? launch_failure_message(command_.front(), code)
                                 : ready.error().message());
  }
  const auto native = run_natively();
  if (!native.ok()) {
    return fail(kExitFailed, native.error().message());
  }
  const auto moved = run_moved();
  if (!moved.ok()) {
    return fail(kExitFailed, moved.error().message());
  }
  if (interrupted != 0) {
    return 128 + interrupted;
  }
  if (refused_) {
    (void)write_all(STDERR_FILENO, refusal_).ok();
    return kExitNotFreezable;
  }
  if (moved_ == 0) {
    say("rehearse: " + quote_command(command_) + ": ended before it was " +
        (options_.freeze_only ? "frozen" : "moved") + " once; try a smaller --every");
  }
  return compare(*native, *moved);
}

void Rehearsal::clean_up() {
  if (lab_) {
    if (const auto down = lab_->take_down(); !down.ok()) {
      say(down.error().message());
    }
  } else if (!beam_.empty() && !directory_.empty()) {
    (void)beam({"rm", "-f", kName});
  }
  std::error_code ignored;
  if (!directory_.empty()) {
    std::filesystem::remove_all(directory_, ignored);
  }
}

}  // namespace

int verb_rehearse(const std::vector<std::string>& arguments) {
  VerbLine line("rehearse",
                "Runs COMMAND natively and again while it is moved about a lab of its own, each time in a copy of the "
                "working directory, and reports the first difference.",
                "[OPTIONS] [--] COMMAND [ARG...]", kExitUsage);
  RehearseOptions options;
  line.app()
      .add_option("--moves", options.moves, "How often to move it, if it runs long enough (default 10)")
      ->type_name("N");
  line.app()
      .add_option("--every", options.every_ms, "Milliseconds between two moves, on average (default 200)")
      ->type_name("MS");
  line.app().add_flag("--freeze-only", options.freeze_only, "Freeze and thaw it in place instead of moving it");
  line.app().add_option("--seed", options.seed, "Repeat the choices of an earlier rehearsal")->type_name("NUMBER");
  line.takes_command(0);
  if (const auto done = line.parse(arguments)) {
    return *done;
  }
  if (line.command().empty()) {
    return line.wrong_usage("no command given");
  }
  if (!options.seed) {
    options.seed = std::random_device{}();
  }
  struct sigaction action {};
  action.sa_handler = note_interrupt;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  Rehearsal rehearsal(options, line.command());
  return rehearsal.run();
}

}  // namespace beam::runtime
