// beam exec: another process in a running sandbox.
#include <sys/stat.h>

#include "runtime/foreground.h"
#include "runtime/launch.h"
#include "runtime/reach.h"
#include "runtime/verb.h"

namespace beam::runtime {
namespace {

struct ExecOptions {
  std::string name;
  bool tty = false;
  bool interactive = false;
  std::vector<std::string> env;
  std::vector<std::string> unset_env;
  std::string workdir;
};

void declare(CLI::App& app, ExecOptions& options) {
  app.add_option("NAME", options.name, "The sandbox")->required();
  app.add_flag("-t,--tty", options.tty, "A terminal even when no stream is one");
  app.add_flag("-i,--interactive", options.interactive, "Accepted for podman's sake: stdin is always passed on");
  app.add_option("--env", options.env, "Set a variable of the environment, or pass on the caller's")
      ->type_name("K=V")
      ->allow_extra_args(false);
  app.add_option("--unset-env", options.unset_env, "Remove a variable")->type_name("K")->allow_extra_args(false);
  app.add_option("--workdir", options.workdir, "Working directory (default: the sandbox's)")->type_name("DIR");
}

}  // namespace

int verb_exec(const std::vector<std::string>& arguments) {
  VerbLine line("exec", "Runs COMMAND in a running sandbox and ends with its exit status.",
                "[OPTIONS] NAME [--] COMMAND [ARG...]", kExitBeamFailed);
  ExecOptions options;
  declare(line.app(), options);
  line.takes_command(1);
  if (const auto done = line.parse(arguments)) {
    return *done;
  }
  if (line.command().empty()) {
    return line.wrong_usage("no command given");
  }
  int failure = kExitDone;
  auto sandbox = reach(options.name, failure, kExitBeamFailed, kExitBeamFailed);
  if (!sandbox) {
    return failure;
  }
  const SignalBlock signals;
  auto terminal = Terminal::find();
  ExecRequest request;
  request.argv = line.command();
  for (const auto& entry : options.env) {
    if (entry.empty() || entry.front() == '=') {
      return fail(kExitBeamFailed, "--env '" + entry + "': has no variable name; use K=V");
    }
    // A bare name stands for the value here, which only this process knows.
    if (const char* value = ::getenv(entry.c_str()); entry.find('=') != std::string::npos) {
      request.environment.push_back(entry);
    } else if (value != nullptr) {
      request.environment.push_back(entry + "=" + value);
    }
  }
  request.unset_environment = options.unset_env;
  request.working_directory = options.workdir;
  request.umask = ::umask(0);
  ::umask(static_cast<mode_t>(request.umask));
  request.streams = plan_streams(terminal, options.tty);
  std::vector<int> fds;
  for (int fd = 0; fd < 3; ++fd) {
    if ((request.streams.terminal_mask & (1U << fd)) == 0) {
      fds.push_back(fd);
    }
  }
  const auto sent = sandbox->channel.send(request, fds);
  if (!sent.ok()) {
    return fail(kExitBeamFailed, options.name + ": " + sent.error().message());
  }
  Foreground foreground(std::move(sandbox->channel), std::move(terminal), request.streams, signals);
  return foreground.run();
}

}  // namespace beam::runtime
