// beam run: a command in a new sandbox.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "rootfs/layer_diff.h"
#include "runtime/file_io.h"
#include "runtime/foreground.h"
#include "runtime/launch.h"
#include "runtime/network.h"
#include "runtime/published_port.h"
#include "runtime/sandbox_name.h"
#include "runtime/supervisor.h"
#include "runtime/verb.h"

namespace beam::runtime {
namespace {

struct RunOptions {
  std::string name;
  std::string group;
  bool detach = false;
  bool remove = false;
  bool tty = false;
  bool interactive = false;
  std::vector<std::string> env;
  std::vector<std::string> unset_env;
  std::string workdir;
  std::string hostname;
  std::string network = kNetworkGroup;
  std::vector<std::string> publish;
  std::string trace;
  std::string trace_file;
  rootfs::MountOptions mounts;
};

constexpr const char* kEveryClass = "all";

void declare(CLI::App& app, RunOptions& options) {
  app.add_option("--name", options.name, "Name of the sandbox (default: a generated one)")->type_name("NAME");
  app.add_option("--group", options.group, "Join the group GROUP (default: a group of its own)")->type_name("GROUP");
  app.add_flag("-d,--detach", options.detach, "Run in the background and print the name");
  app.add_flag("--rm", options.remove, "Remove the sandbox when it has ended");
  app.add_flag("-t,--tty", options.tty, "A terminal even when no stream is one");
  app.add_flag("-i,--interactive", options.interactive, "Keep stdin open when detached");
  app.add_option("--env", options.env, "Set a variable of the environment, or pass on the caller's")
      ->type_name("K=V")
      ->allow_extra_args(false);
  app.add_option("--unset-env", options.unset_env, "Remove a variable")->type_name("K")->allow_extra_args(false);
  app.add_option("--workdir", options.workdir, "Working directory (default: the caller's)")->type_name("DIR");
  app.add_option("--hostname", options.hostname, "Host name inside (default: the workstation's)")->type_name("H");
  app.add_option("--net", options.network,
                 "The network: of the GROUP, of the workstation (host), or none beyond the sandbox (none)")
      ->type_name("MODE");
  app.add_option("--publish", options.publish, "Let PORT of the workstation lead to the sandbox's VPORT")
      ->type_name("[ADDR:]PORT:VPORT[/udp]")
      ->allow_extra_args(false);
  const auto add_paths = [&app](const char* name, std::vector<std::string>& list, const char* text, const char* type) {
    app.add_option(name, list, text)->type_name(type)->allow_extra_args(false);
  };
  add_paths("--rw", options.mounts.writable, "Let writes below PATH reach the workstation", "PATH");
  add_paths("--bind", options.mounts.binds, "Show SRC of the workstation, and write to it, as DST", "SRC:DST[:ro]");
  add_paths("--tmpfs", options.mounts.tmpfs, "An empty directory at DST", "DST");
  add_paths("--hide", options.mounts.hidden, "Leave PATH out", "PATH");
  add_paths("--show", options.mounts.shown, "Leave PATH in, though it holds credentials", "PATH");
  app.add_flag(std::string("--trace{") + kEveryClass + "}", options.trace,
               "Print a line for each interposed call; =CLASS,... for some (process, file, signal, ...)");
  app.add_option("--trace-file", options.trace_file, "Print these lines to FILE (default: stderr)")->type_name("FILE");
}

bool valid_host_name(const std::string& name) {
  return name.size() <= 64 &&
         name.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-") ==
             std::string::npos;
}

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> parts;
  std::size_t from = 0;
  while (from <= list.size()) {
    const auto comma = std::min(list.find(',', from), list.size());
    if (comma > from) {
      parts.push_back(list.substr(from, comma - from));
    }
    from = comma + 1;
  }
  return parts;
}

Result<std::string> working_directory(const std::string& asked) {
  std::error_code code;
  const std::string current = std::filesystem::current_path(code).string();
  if (asked.empty()) {
    if (code) {
      return Error(code.value(), "working directory: cannot be read").remedy("name one with --workdir");
    }
    return current;
  }
  const std::string path = asked.front() == '/' ? asked : current + "/" + asked;
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) {
    return Error::from_errno(asked + ": cannot be the working directory");
  }
  if (!S_ISDIR(info.st_mode)) {
    return Error(ENOTDIR, asked + ": cannot be the working directory");
  }
  return path;
}

// The mount view of these options. None where everything is the workstation's own and nothing is left out or put
// elsewhere: then the kernel resolves the paths.
std::optional<rootfs::MountOptions> mount_options(const RunOptions& options, const std::string& directory) {
  const rootfs::MountOptions& asked = options.mounts;
  const auto is_root = [](const std::string& path) { return path == "/"; };
  if (std::any_of(asked.writable.begin(), asked.writable.end(), is_root) &&
      std::any_of(asked.shown.begin(), asked.shown.end(), is_root) && asked.binds.empty() && asked.tmpfs.empty() &&
      asked.hidden.empty()) {
    return std::nullopt;
  }
  rootfs::MountOptions mounts = asked;
  mounts.directory = directory;
  const char* home = ::getenv("HOME");
  mounts.home = home != nullptr ? home : "";
  return mounts;
}

Result<RunConfig> make_config(const RunOptions& options, std::vector<std::string> command) {
  RunConfig config;
  SandboxRecord& record = config.record;
  if (!options.name.empty()) {
    BEAM_TRY(check_name("sandbox", options.name));
  }
  if (!options.group.empty()) {
    BEAM_TRY(check_name("group", options.group));
  }
  if (!valid_host_name(options.hostname)) {
    return Error(0, "'" + options.hostname + "': is no valid host name; use up to 64 letters, digits, '.' and '-'");
  }
  if (!is_network_mode(options.network)) {
    return Error(0, "--net '" + options.network + "': is no network; use group, host or none");
  }
  if (const auto ports = parse_published_ports(options.publish); !ports.ok()) {
    return ports.error();
  }
  if (!options.publish.empty() && options.network != kNetworkGroup) {
    return Error(0, "--publish '" + options.publish.front() + "': --net " + options.network +
                        (options.network == kNetworkHost ? " has the workstation's own ports"
                                                         : " lets nothing of the outside in"))
        .remedy("leave one of them out");
  }
  for (const auto& entry : options.env) {
    if (entry.empty() || entry.front() == '=') {
      return Error(0, "--env '" + entry + "': has no variable name; use K=V");
    }
  }
  record.id = generate_id();
  record.name = options.name;
  record.group = options.group;
  config.joins_group = !options.group.empty();
  record.host_name = options.hostname;
  record.network = options.network;
  record.published = options.publish;
  record.command = std::move(command);
  record.detached = options.detach;
  record.remove_at_end = options.remove;
  BEAM_TRY_ASSIGN(record.working_directory, working_directory(options.workdir));
  config.mounts = mount_options(options, std::filesystem::current_path().string());
  if (config.mounts) {
    // Wrong options are said before anything is made.
    const auto plan = rootfs::plan_mounts(*config.mounts);
    if (!plan.ok()) {
      return plan.error();
    }
  }
  config.environment = make_environment(current_environment(), options.env, options.unset_env);
  config.umask = ::umask(0);
  ::umask(config.umask);
  config.keep_stdin = options.interactive;
  config.trace = !options.trace.empty() || !options.trace_file.empty();
  if (options.trace != kEveryClass) {
    config.trace_classes = split(options.trace);
  }
  return config;
}

// Changes that stay in the private layer are easily forgotten.
void say_what_is_left(const std::string& home, const std::string& name) {
  const auto changes = rootfs::layer_changes(home + "/sandboxes/" + name + "/" + kLayer);
  if (changes.ok() && !changes->empty()) {
    say(name + ": left " + std::to_string(changes->size()) + (changes->size() == 1 ? " change" : " changes") +
        " in its private layer; see them with: beam diff " + name + "; carry them over with: beam apply " + name);
  }
}

}  // namespace

int verb_run(const std::vector<std::string>& arguments) {
  VerbLine line("run", "Runs COMMAND in a new sandbox and ends with its exit status.",
                "[OPTIONS] [--] COMMAND [ARG...]", kExitBeamFailed);
  RunOptions options;
  declare(line.app(), options);
  line.takes_command(0);
  if (const auto done = line.parse(arguments)) {
    return *done;
  }
  if (line.command().empty()) {
    return line.wrong_usage("no command given");
  }
  auto config = make_config(options, line.command());
  if (!config.ok()) {
    return fail(kExitBeamFailed, config.error().message());
  }
  auto store = RecordStore::create();
  if (!store.ok()) {
    return fail(kExitBeamFailed, store.error().message());
  }
  const std::string& command = config->record.command.front();
  auto executable = find_executable(command, config->environment, config->record.working_directory);
  if (!executable.ok()) {
    const int code = executable.error().code();
    return fail(launch_failure_status(code), launch_failure_message(command, code));
  }
  config->executable = std::move(executable).value();
  if (!options.trace_file.empty()) {
    config->trace_file =
        UniqueFd(::open(options.trace_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666));
    if (!config->trace_file) {
      return fail(kExitBeamFailed, Error::from_errno(options.trace_file + ": cannot be written").message());
    }
  }
  const SignalBlock signals;
  if (options.detach) {
    if (options.tty) {
      config->streams.terminal_mask = 7;
      config->streams.foreground = true;
      config->streams.window = WindowSize{24, 80, 0, 0};
      config->record.terminal = true;
    }
    auto socket = Supervisor::launch(std::move(config).value(), std::move(store).value(), signals.inherited());
    return socket.ok() ? finish_detached(std::move(socket).value(), kExitBeamFailed)
                       : fail(kExitBeamFailed, socket.error().message());
  }
  auto terminal = Terminal::find();
  config->streams = plan_streams(terminal, options.tty);
  config->record.terminal = config->streams.terminal_mask != 0;
  const StreamSetup streams = config->streams;
  // --rm leaves nothing to look at.
  const std::string layers_home = config->mounts && !config->record.remove_at_end ? store->home() : "";
  auto socket = Supervisor::launch(std::move(config).value(), std::move(store).value(), signals.inherited());
  if (!socket.ok()) {
    return fail(kExitBeamFailed, socket.error().message());
  }
  Foreground foreground(Channel(std::move(socket).value()), std::move(terminal), streams, signals);
  const int status = foreground.run();
  if (!layers_home.empty() && !foreground.failed() && !foreground.frozen()) {
    say_what_is_left(layers_home, foreground.name());
  }
  return status;
}

}  // namespace beam::runtime
