// beam freeze: a sandbox into an image.
#include <time.h>
#include <unistd.h>

#include <array>
#include <filesystem>

#include "runtime/file_io.h"
#include "runtime/paths.h"
#include "runtime/reach.h"
#include "runtime/verb.h"

namespace beam::runtime {
namespace {

struct FreezeOptions {
  std::string name;
  std::string image;
  bool keep_running = false;
  std::string compress = "none";
  bool self_contained = false;
};

void declare(CLI::App& app, FreezeOptions& options) {
  app.add_option("NAME", options.name, "The sandbox")->required();
  app.add_option("-o,--output", options.image, "The directory to make (default: images/NAME-TIME in the home)")
      ->type_name("IMAGE");
  app.add_option("--compress", options.compress, "How memory is stored: zstd or none (default)")->type_name("METHOD");
  app.add_flag("--self-contained", options.self_contained, "Put every executed or mapped file into the image as well");
  app.add_flag("--keep-running", options.keep_running, "Let the sandbox go on afterwards instead of ending it");
}

// A name that nothing has yet; the supervisor has the last word.
Result<std::string> default_image(const RecordStore& store, const std::string& name) {
  const std::string directory = store.home() + "/images";
  BEAM_TRY(make_private_directory(directory));
  const std::time_t now = ::time(nullptr);
  struct tm parts {};
  ::localtime_r(&now, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y%m%d-%H%M%S", &parts);
  const std::string stem = directory + "/" + name + "-" + text.data();
  std::string path = stem;
  for (int i = 2; ::access(path.c_str(), F_OK) == 0 || ::access((path + ".partial").c_str(), F_OK) == 0; ++i) {
    path = stem + "-" + std::to_string(i);
  }
  return path;
}

}  // namespace

int verb_freeze(const std::vector<std::string>& arguments) {
  VerbLine line("freeze", "Freezes a sandbox to an image and ends its processes; prints where the image is.",
                "[OPTIONS] NAME", kExitUsage);
  FreezeOptions options;
  declare(line.app(), options);
  if (const auto done = line.parse(arguments)) {
    return *done;
  }
  if (options.compress != "none" && options.compress != "zstd") {
    return line.wrong_usage("--compress: '" + options.compress + "' is no method; use zstd or none");
  }
  int failure = kExitDone;
  auto sandbox = reach(options.name, failure);
  if (!sandbox) {
    return failure;
  }
  auto image =
      options.image.empty() ? default_image(sandbox->store, sandbox->record.name) : absolute_path(options.image);
  if (!image.ok()) {
    return fail(kExitFailed, image.error().message());
  }
  auto sent = sandbox->channel.send(
      FreezeRequest{*image, options.keep_running, options.compress == "zstd", options.self_contained});
  if (sent.ok()) {
    sent = sandbox->channel.flush_all();
  }
  const auto frame = sent.ok() ? sandbox->channel.receive() : Result<Frame>(sent.error());
  if (!frame.ok()) {
    return fail(kExitFailed, sandbox->record.name + ": " + frame.error().message());
  }
  if (frame->type == MessageType::kObstacles) {
    const auto obstacles = frame->as<Obstacles>();
    return obstacles.ok() ? refuse(sandbox->record.name, *obstacles) : fail(kExitFailed, obstacles.error().message());
  }
  if (frame->type == MessageType::kFailed) {
    const auto failure = frame->as<Failed>();
    return fail(kExitFailed, failure.ok() ? failure->message : failure.error().message());
  }
  if (const auto frozen = frame->as<Frozen>(); !frozen.ok()) {
    return fail(kExitFailed, sandbox->record.name + ": " + frozen.error().message());
  }
  return print_document(*image);
}

}  // namespace beam::runtime
