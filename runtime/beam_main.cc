#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <condition_variable>
#include <mutex>
#include <unistd.h>
#include <sys/wait.h>
#include "interpose/engine.h"
#include "base/log.h"
using namespace beam;
struct Obs : interpose::Observer {
  std::mutex m; std::condition_variable c; bool done = false; int status = 0;
  void on_exit(VirtualPid, int s) override { std::lock_guard l(m); done = true; status = s; c.notify_all(); }
  void on_empty() override {}
};
int main(int argc, char** argv) {
  (void)argc;
  log::init();
  Obs obs;
  interpose::EngineOptions options;
  if (getenv("BEAM_TRACE")) options.trace_fd = 2;
  int code = 125;
  {
  auto engine = interpose::Engine::start(options, obs);
  if (!engine.ok()) { fprintf(stderr, "beam: %s\n", engine.error().message().c_str()); return 125; }
  interpose::SpawnRequest r;
  r.path = argv[1];
  for (char** a = argv + 1; *a; ++a) r.argv.push_back(*a);
  for (char** e = environ; *e; ++e) r.envp.push_back(*e);
  auto s = (*engine)->spawn(r);
  if (!s.ok()) { fprintf(stderr, "beam: %s\n", s.error().message().c_str()); return 125; }
  std::unique_lock l(obs.m);
  obs.c.wait(l, [&] { return obs.done; });
  code = WIFEXITED(obs.status) ? WEXITSTATUS(obs.status) : 128 + WTERMSIG(obs.status);
  }
  return code;
}
