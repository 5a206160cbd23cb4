#include "runtime/elsewhere.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <asio/io_context.hpp>
#include <asio/signal_set.hpp>
#include <filesystem>

#include "base/log.h"
#include "runtime/cluster.h"
#include "runtime/paths.h"
#include "runtime/relay.h"
#include "runtime/supervisor_exit.h"
#include "runtime/verb.h"

extern char** environ;

namespace beam::runtime {
namespace {

// A workstation that doesn't answer for so long counts as gone.
constexpr int kPatience = 2'000;
// In the environment of a verb that runs for another workstation: it asks no further.
constexpr const char* kAskedHere = "BEAM_ASKED_HERE";

template <typename Visit>
void visit_others(const Cluster& cluster, Visit visit) {
  for (const Workstation& workstation : cluster.workstations) {
    if (workstation.name == cluster.self) {
      continue;
    }
    auto link = Link::connect(cluster, workstation, kPatience);
    if (!link.ok()) {
      BEAM_LOG_INFO(kRuntime, "{}", link.error().message());
      continue;
    }
    if (visit(workstation, *link)) {
      return;
    }
  }
}

Json list_of(Link& link, bool all) {
  const auto list = link.ask<List>(ListRequest{all});
  Json json = list.ok() ? Json::parse(list->json, nullptr, false) : Json::array();
  return json.is_array() ? json : Json::array();
}

}  // namespace

Json list_elsewhere(const std::string& home, bool all) {
  Json rows = Json::array();
  if (const auto cluster = Cluster::open(home); cluster.ok()) {
    visit_others(*cluster, [&](const Workstation&, Link& link) {
      for (Json& row : list_of(link, all)) {
        rows.push_back(std::move(row));
      }
      return false;
    });
  }
  return rows;
}

std::optional<int> run_elsewhere(const std::string& home, const std::string& name,
                                 const std::vector<std::string>& words) {
  const auto cluster = Cluster::open(home);
  if (!cluster.ok() || ::getenv(kAskedHere) != nullptr) {
    return std::nullopt;
  }
  std::optional<Workstation> found;
  visit_others(*cluster, [&](const Workstation& workstation, Link& link) {
    for (const Json& row : list_of(link, true)) {
      if (row.value("name", "") == name) {
        found = workstation;
        return true;
      }
    }
    return false;
  });
  if (!found) {
    return std::nullopt;
  }
  auto link = Link::connect(*cluster, *found);
  if (!link.ok()) {
    return fail(kExitFailed, link.error().message());
  }
  asio::io_context io;
  int status = kExitFailed;
  std::shared_ptr<Relay> relay;
  std::error_code unknown;
  const auto sent = link->send(RunVerb{words, std::filesystem::current_path(unknown).string()});
  if (!sent.ok()) {
    return fail(kExitFailed, sent.error().message());
  }
  relay = std::make_shared<Relay>(io, std::move(*link),
                                  Relay::Handlers{[&](Frame frame) {
                                                    if (const auto ended = frame.as<Ended>(); ended.ok()) {
                                                      status = ended->exit_status;
                                                      io.stop();
                                                    }
                                                  },
                                                  [&](const Error& error) {
                                                    status = fail(kExitFailed, error.message());
                                                    io.stop();
                                                  }});
  for (int fd = 0; fd < 3; ++fd) {
    UniqueFd own(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
    fd == 0 ? relay->add_source(0, std::move(own)) : relay->add_sink(static_cast<std::size_t>(fd), std::move(own));
  }
  relay->start();
  io.run();
  return status;
}

void run_verb(const std::string& home, Link link, const RunVerb& request) {
  asio::io_context io;
  std::array<UniqueFd, 3> inside;
  std::array<UniqueFd, 3> outside;
  for (std::size_t i = 0; i < 3; ++i) {
    std::array<int, 2> ends{-1, -1};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
      return;
    }
    inside[i] = UniqueFd(ends[i == 0 ? 0 : 1]);
    outside[i] = UniqueFd(ends[i == 0 ? 1 : 0]);
  }
  std::vector<std::string> words = {"beam"};
  words.insert(words.end(), request.words.begin(), request.words.end());
  std::vector<char*> argv;
  for (std::string& word : words) {
    argv.push_back(word.data());
  }
  argv.push_back(nullptr);
  const auto beam = helper_path("beam");
  ::setenv("BEAM_HOME", home.c_str(), 1);
  ::setenv(kAskedHere, "1", 1);
  asio::signal_set signals(io, SIGCHLD);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  if (std::error_code unknown; std::filesystem::is_directory(request.directory, unknown)) {
    ::posix_spawn_file_actions_addchdir_np(&actions, request.directory.c_str());
  }
  for (int fd = 0; fd < 3; ++fd) {
    ::posix_spawn_file_actions_adddup2(&actions, inside[static_cast<std::size_t>(fd)].get(), fd);
  }
  pid_t child = -1;
  const int fault = beam.ok() ? ::posix_spawn(&child, beam->c_str(), &actions, nullptr, argv.data(), environ) : ENOENT;
  ::posix_spawn_file_actions_destroy(&actions);
  inside = {};
  if (fault != 0) {
    (void)link.send(Ended{kExitFailed, ""}).ok();
    (void)link.flush_all().ok();
    return;
  }
  std::optional<int> status;
  std::shared_ptr<Relay> relay;
  const auto finish = [&] {
    if (status && relay->idle()) {
      relay->send(Ended{*status, ""});
      relay->flush_all();
      io.stop();
    }
  };
  relay = std::make_shared<Relay>(io, std::move(link),
                                  Relay::Handlers{[](const Frame&) {},
                                                  [&](const Error&) {
                                                    // As when the terminal of a command is gone.
                                                    ::kill(child, SIGHUP);
                                                    io.stop();
                                                  },
                                                  finish});
  relay->add_sink(0, std::move(outside[0]));
  relay->add_source(1, std::move(outside[1]));
  relay->add_source(2, std::move(outside[2]));
  signals.async_wait([&](const std::error_code& failed, int) {
    int wait_status = 0;
    if (!failed && ::waitpid(child, &wait_status, 0) == child) {
      status = WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
      finish();
    }
  });
  relay->start();
  io.run();
}

}  // namespace beam::runtime
