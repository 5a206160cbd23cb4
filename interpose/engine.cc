#include "interpose/engine.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "interpose/background_reader.h"
#include "interpose/route_view.h"
#include "interpose/shared.h"
#include "interpose/signal_info.h"
#include "interpose/socket_names.h"
#include "interpose/syscall_table.h"
#include "interpose/tracer.h"
#include "rootfs/proc_entry.h"
#include "rootfs/view.h"

namespace beam::interpose {

Engine::Engine() = default;

Result<std::unique_ptr<Engine>> Engine::start(EngineOptions options, Observer& observer) {
  const auto problems = SyscallTable::instance().check();
  if (!problems.empty()) {
    return Error(0, "syscall table: " + problems.front());
  }
  // Orphans of processes that have no init of the sandbox above them come here, and are reaped.
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) {
    return Error::from_errno("become a child subreaper");
  }
  std::unique_ptr<Engine> engine(new Engine());
  engine->shared_ = std::make_unique<Shared>(std::move(options), observer);
  BEAM_TRY_ASSIGN(engine->shared_->proc,
                  ProcView::create(*engine->shared_, engine->shared_->options.scratch_directory));
  if (const auto& view = engine->shared_->options.view) {
    BEAM_TRY_ASSIGN(engine->shared_->view, rootfs::View::create(*view));
    BEAM_TRY_ASSIGN(engine->shared_->socket_names, SocketNames::create(engine->shared_->options.scratch_directory));
  }
  if (const auto& network = engine->shared_->options.network) {
    engine->shared_->routes = std::make_unique<RouteView>(*network);
  }
  engine->tracer_ = std::make_unique<Tracer>(*engine->shared_);
  engine->shared_->tracer = engine->tracer_.get();
  return engine;
}

Engine::~Engine() = default;

Result<Spawned> Engine::spawn(const SpawnRequest& request) {
  std::size_t prefix = 0;
  if (rootfs::enter_proc(request.working_directory, prefix)) {
    shared_->proc->directory_is_held();
  }
  std::optional<Result<Spawned>> result;
  tracer_->run_and_wait([&](Tracer& tracer) { result = tracer.spawn(request); });
  return std::move(*result);
}

Result<> Engine::signal(VirtualPid pid, int signal) {
  const auto process = shared_->process(pid);
  if (process == nullptr || process->threads == 0) {
    return Error(ESRCH, "process " + std::to_string(pid.value()));
  }
  siginfo_t info{};
  info.si_signo = signal;
  info.si_code = kSentByKill;
  const long sent = signal == 0 ? ::kill(process->host.value(), 0)
                                : ::syscall(SYS_rt_sigqueueinfo, process->host.value(), signal, &info);
  if (sent != 0) {
    return Error::from_errno("signal process " + std::to_string(pid.value()));
  }
  return success();
}

void Engine::kill_all() {
  tracer_->run_and_wait([](Tracer& tracer) { tracer.kill_all(); });
}

std::vector<ProcessInfo> Engine::processes() const {
  std::vector<ProcessInfo> list;
  std::vector<std::shared_ptr<Process>> processes;
  {
    const std::shared_lock lock(shared_->tasks.mutex());
    for (const auto& [host, process] : shared_->tasks.processes()) {
      processes.push_back(process);
    }
  }
  for (const auto& process : processes) {
    ProcessInfo info{process->vpid, process->host, shared_->parent_of(*process), {}};
    const std::shared_lock lock(shared_->tasks.mutex());
    for (const auto& [tid, task] : shared_->tasks.tasks()) {
      if (task->process == process) {
        info.threads.push_back({task->vtid, tid});
      }
    }
    list.push_back(std::move(info));
  }
  return list;
}

HostPid Engine::to_host(VirtualPid pid) const {
  return shared_->pids.to_host(pid);
}
VirtualPid Engine::to_virtual(HostPid pid) const {
  return shared_->pids.to_virtual(pid);
}

void Engine::on_event_thread(const std::function<void(Tracer&)>& work) {
  tracer_->run_and_wait(work);
}

void Engine::read_in_background() {
  reader_ = std::make_unique<BackgroundReader>(*shared_, *tracer_);
}

}  // namespace beam::interpose
