// What `run -d` and `thaw -d` do once the supervisor is on its way.
#include <unistd.h>

#include "runtime/channel.h"
#include "runtime/file_io.h"
#include "runtime/verb.h"

namespace beam::runtime {

int finish_detached(UniqueFd socket, int failed) {
  // The first message is enough: the process runs on without this one.
  Channel channel(std::move(socket));
  const auto frame = channel.receive();
  if (!frame.ok()) {
    return fail(failed, frame.error().message());
  }
  if (const auto started = frame->as<Started>(); started.ok()) {
    const auto written = write_all(STDOUT_FILENO, started->name + "\n");
    return written.ok() ? kExitDone : fail(failed, "stdout: " + written.error().message());
  }
  const auto failure = frame->as<Failed>();
  return failure.ok() ? fail(failure->exit_status, failure->message) : fail(failed, failure.error().message());
}

}  // namespace beam::runtime
