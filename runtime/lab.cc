#include "runtime/lab.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <thread>

#include "runtime/client.h"
#include "runtime/cluster.h"
#include "runtime/daemon.h"
#include "runtime/link.h"
#include "runtime/link_messages.h"
#include "runtime/paths.h"

extern char** environ;

namespace beam::runtime {
namespace {

constexpr std::uint16_t kPort = 7077;
constexpr int kAddressAttempts = 64;

// Loopback addresses that nobody else of this machine listens at: 127.77.R.1 and on.
Result<std::vector<std::string>> choose_addresses(unsigned count) {
  for (int attempt = 0; attempt < kAddressAttempts; ++attempt) {
    unsigned char network = 0;
    (void)::getrandom(&network, sizeof network, 0);
    std::vector<std::string> addresses;
    for (unsigned i = 1; i <= count; ++i) {
      const std::uint32_t address = 127U << 24U | 77U << 16U | static_cast<std::uint32_t>(network) << 8U | i;
      const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      struct sockaddr_in name {};
      name.sin_family = AF_INET;
      name.sin_port = htons(kPort);
      name.sin_addr.s_addr = htonl(address);
      if (::bind(socket.get(), reinterpret_cast<const struct sockaddr*>(&name), sizeof name) != 0) {
        break;
      }
      addresses.push_back("127.77." + std::to_string(network) + "." + std::to_string(i) + ":" + std::to_string(kPort));
    }
    if (addresses.size() == count) {
      return addresses;
    }
  }
  return Error(EADDRINUSE, "lab: no loopback addresses are free");
}

Result<> start_daemon(const LabWorkstation& workstation) {
  BEAM_TRY_ASSIGN(std::string program, helper_path("beam"));
  const std::string log = workstation.home + "/beamd.log";
  const pid_t child = ::fork();
  if (child < 0) {
    return Error::from_errno("start " + program);
  }
  if (child == 0) {
    // Twice: it is nobody's child here.
    if (::fork() != 0) {
      ::_exit(0);
    }
    ::setsid();
    enter(workstation);
    const int null = ::open("/dev/null", O_RDWR);
    const int file = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    ::dup2(null, 0);
    ::dup2(file, 1);
    ::dup2(file, 2);
    ::close_range(3, ~0U, 0);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    if (::chdir("/") == 0) {
      ::execl(program.c_str(), "beamd", static_cast<char*>(nullptr));
    }
    ::_exit(127);
  }
  ::waitpid(child, nullptr, 0);
  return success();
}

Result<> await_daemon(const LabWorkstation& workstation) {
  BEAM_TRY_ASSIGN(const auto cluster, Cluster::open(workstation.home));
  Error last(0, "");
  for (int i = 0; i < 500; ++i) {
    auto link = Link::connect(cluster, *cluster.find(workstation.name), 10'000);
    if (link.ok()) {
      const auto load = link->ask<Load>(LoadRequest{});
      return load.ok() ? success() : Result<>(load.error());
    }
    last = link.error();
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return std::move(last).context(workstation.home + "/beamd.log says more");
}

Result<> end_sandboxes(const LabWorkstation& workstation) {
  enter(workstation);
  BEAM_TRY_ASSIGN(const auto store, RecordStore::open());
  for (const SandboxRecord& record : store.all()) {
    auto channel = connect(store, record);
    if (channel.ok()) {
      if (const auto ended = ask<Ended>(*channel, StopRequest{}); !ended.ok()) {
        // Its supervisor ended meanwhile, or is killed below.
      }
    }
    for (int i = 0; i < 500 && record.supervisor.alive(); ++i) {
      if (i == 300) {
        ::kill(record.supervisor.pid, SIGKILL);
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
  return success();
}

std::string lab_directory(const std::string& home) {
  return home + "/lab";
}

}  // namespace

void enter(const LabWorkstation& workstation) {
  ::setenv("BEAM_HOME", workstation.home.c_str(), 1);
  ::setenv("BEAM_WORKSTATION", workstation.name.c_str(), 1);
}

Result<Lab> Lab::open(const std::string& home) {
  const std::string directory = lab_directory(home);
  BEAM_TRY_ASSIGN(const auto cluster, Cluster::open(directory));
  std::vector<LabWorkstation> workstations;
  for (const Workstation& each : cluster.workstations) {
    workstations.push_back({each.name, directory + "/" + each.name, each.address});
  }
  if (workstations.empty()) {
    return Error(ENOENT, directory);
  }
  return Lab(directory, std::move(workstations));
}

Result<Lab> Lab::make(const std::string& home, unsigned count) {
  const std::string directory = lab_directory(home);
  if (Lab::open(home).ok()) {
    return Error(EEXIST, directory);
  }
  BEAM_TRY(make_private_directory(directory));
  BEAM_TRY_ASSIGN(const auto addresses, choose_addresses(count));
  BEAM_TRY_ASSIGN(const auto authority, Authority::make());
  Cluster cluster;
  for (unsigned i = 0; i < count; ++i) {
    cluster.workstations.push_back({"ws" + std::to_string(i + 1), addresses[i]});
  }
  std::vector<LabWorkstation> made;
  for (const Workstation& each : cluster.workstations) {
    const LabWorkstation workstation{each.name, directory + "/" + each.name, each.address};
    BEAM_TRY(make_private_directory(workstation.home));
    Cluster own = cluster;
    own.directory = cluster_directory(workstation.home);
    own.self = each.name;
    BEAM_TRY(authority.issue(own));
    BEAM_TRY(own.save());
    made.push_back(workstation);
  }
  // The list that open() reads; from now on take_down() finds everything.
  cluster.directory = cluster_directory(directory);
  BEAM_TRY(cluster.save());
  Lab lab(directory, std::move(made));
  for (const LabWorkstation& workstation : lab.workstations()) {
    auto started = start_daemon(workstation);
    if (started.ok()) {
      started = await_daemon(workstation);
    }
    if (!started.ok()) {
      const auto removed = lab.take_down();
      return removed.ok() ? started.error() : removed.error();
    }
  }
  return lab;
}

const LabWorkstation* Lab::find(const std::string& name) const {
  const auto found = std::find_if(workstations_.begin(), workstations_.end(),
                                  [&](const LabWorkstation& workstation) { return workstation.name == name; });
  return found != workstations_.end() ? &*found : nullptr;
}

Result<> Lab::take_down() const {
  // First the daemons, so that nothing moves any more.
  for (const LabWorkstation& workstation : workstations_) {
    BEAM_TRY(stop_daemon(workstation.home));
  }
  for (const LabWorkstation& workstation : workstations_) {
    BEAM_TRY(end_sandboxes(workstation));
  }
  std::error_code fault;
  std::filesystem::remove_all(directory_, fault);
  if (fault) {
    return Error(fault.value(), directory_ + ": cannot be removed");
  }
  return success();
}

}  // namespace beam::runtime
