// beam thaw: a frozen sandbox made again from its image.
#include <algorithm>

#include "runtime/client.h"
#include "runtime/description.h"
#include "runtime/foreground.h"
#include "runtime/image_argument.h"
#include "runtime/paths.h"
#include "runtime/sandbox_name.h"
#include "runtime/supervisor.h"
#include "runtime/thaw_config.h"
#include "runtime/verb.h"

namespace beam::runtime {
namespace {

struct ThawOptions {
  std::string image;
  std::string name;
  bool detach = false;
  bool remove = false;
  bool force = false;
  bool eager = false;
};

void declare(CLI::App& app, ThawOptions& options) {
  app.add_option("IMAGE", options.image, "The image")->required();
  app.add_option("--name", options.name, "Name of the thawed sandbox (default: the frozen one's)")->type_name("NEW");
  app.add_flag("-d,--detach", options.detach, "Run in the background and print the name");
  app.add_flag("--rm", options.remove, "Remove the sandbox when it has ended");
  app.add_flag("--eager", options.eager, "Read all memory from the image before it runs, rather than while it does");
  app.add_flag("--force", options.force, "Go on with files that have changed since the freeze");
}

}  // namespace

int verb_thaw(const std::vector<std::string>& arguments) {
  // In the foreground it ends as `run` does, and so does a wrong command line of it.
  const bool detach = std::any_of(arguments.begin(), arguments.end(),
                                  [](const std::string& word) { return word == "-d" || word == "--detach"; });
  const int failed = detach ? kExitFailed : kExitBeamFailed;
  VerbLine line("thaw", "Makes a frozen sandbox again from its image; ends with its exit status.", "[OPTIONS] IMAGE",
                detach ? kExitUsage : kExitBeamFailed);
  ThawOptions options;
  declare(line.app(), options);
  if (const auto done = line.parse(arguments)) {
    return *done;
  }
  if (!options.name.empty()) {
    if (const auto checked = check_name("sandbox", options.name); !checked.ok()) {
      return fail(failed, checked.error().message());
    }
  }
  const auto path = absolute_path(options.image);
  const auto image = path.ok() ? migrate::Image::open(*path) : Result<migrate::Image>(path.error());
  if (!image.ok()) {
    return fail_image(options.image, image.error(), options.detach ? kExitNoSuch : kExitBeamFailed, failed);
  }
  const auto description = describe(*image);
  if (!description.ok()) {
    return fail_image(options.image, description.error(), kExitDamaged, failed);
  }
  auto store = RecordStore::create();
  if (!store.ok()) {
    return fail(failed, store.error().message());
  }
  RunConfig config = thaw_config(*description, *path);
  if (!options.name.empty()) {
    rename(config.record, options.name);
  }
  config.record.detached = options.detach;
  config.record.remove_at_end = options.remove;
  config.thaw->force = options.force;
  config.thaw->eager = options.eager;
  const SignalBlock signals;
  auto terminal = options.detach || config.streams.terminal_mask == 0 ? std::nullopt : Terminal::find();
  if (terminal) {
    config.thaw->client_terminal = true;
    config.streams.window = terminal->window();
  }
  config.streams.foreground = true;
  const StreamSetup streams = config.streams;
  auto socket = Supervisor::launch(std::move(config), std::move(*store), signals.inherited());
  if (!socket.ok()) {
    return fail(failed, socket.error().message());
  }
  if (options.detach) {
    return finish_detached(std::move(*socket), failed);
  }
  Foreground foreground(Channel(std::move(*socket)), std::move(terminal), streams, signals);
  return foreground.run();
}

}  // namespace beam::runtime
