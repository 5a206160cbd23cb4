#include "runtime/launch.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/unique_fd.h"

extern char** environ;

namespace beam::runtime {
namespace {

bool names(const std::string& entry, std::string_view variable) {
  return entry.size() > variable.size() && entry[variable.size()] == '=' &&
         entry.compare(0, variable.size(), variable) == 0;
}

// 0, or the errno that says why `path` can't be executed.
int executable(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) {
    return errno;
  }
  if (!S_ISREG(info.st_mode)) {
    return EACCES;
  }
  return ::faccessat(AT_FDCWD, path.c_str(), X_OK, AT_EACCESS) == 0 ? 0 : errno;
}

}  // namespace

std::vector<std::string> current_environment() {
  std::vector<std::string> all;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    all.emplace_back(*entry);
  }
  return all;
}

const char* find_variable(const std::vector<std::string>& environment, std::string_view name) {
  for (const auto& entry : environment) {
    if (names(entry, name)) {
      return entry.c_str() + name.size() + 1;
    }
  }
  return nullptr;
}

std::vector<std::string> make_environment(std::vector<std::string> base, const std::vector<std::string>& set,
                                          const std::vector<std::string>& unset) {
  const auto erase = [&base](std::string_view name) {
    std::erase_if(base, [name](const std::string& entry) { return names(entry, name); });
  };
  for (const auto& name : unset) {
    erase(name);
  }
  for (const auto& assignment : set) {
    const auto equals = assignment.find('=');
    if (equals != std::string::npos) {
      erase(std::string_view(assignment).substr(0, equals));
      base.push_back(assignment);
    }
  }
  return base;
}

std::vector<std::string> executable_candidates(const std::string& command,
                                               const std::vector<std::string>& environment) {
  if (command.empty() || command.find('/') != std::string::npos) {
    return {command};
  }
  std::vector<std::string> candidates;
  const char* search = find_variable(environment, "PATH");
  std::string_view rest = search != nullptr ? search : "/bin:/usr/bin";
  while (true) {
    const auto colon = rest.find(':');
    const std::string directory(rest.substr(0, colon));
    candidates.push_back(directory.empty() ? "./" + command : directory + "/" + command);
    if (colon == std::string_view::npos) {
      return candidates;
    }
    rest.remove_prefix(colon + 1);
  }
}

Result<std::string> find_executable(const std::string& command, const std::vector<std::string>& environment,
                                    const std::string& working_directory) {
  if (command.empty()) {
    return Error(ENOENT, "''");
  }
  const auto absolute = [&working_directory](const std::string& path) {
    return path.front() == '/' ? path : working_directory + "/" + path;
  };
  if (command.find('/') != std::string::npos) {
    const int code = executable(absolute(command));
    if (code != 0) {
      return Error(code, command);
    }
    return command;
  }
  const char* search = find_variable(environment, "PATH");
  // What glibc's execvp takes without one.
  std::string_view rest = search != nullptr ? search : "/bin:/usr/bin";
  int code = ENOENT;
  while (true) {
    const auto colon = rest.find(':');
    std::string candidate(rest.substr(0, colon));
    candidate = candidate.empty() ? "./" + command : candidate + "/" + command;
    const int fault = executable(absolute(candidate));
    if (fault == 0) {
      return candidate;
    }
    if (fault == EACCES) {
      code = EACCES;
    }
    if (colon == std::string_view::npos) {
      return Error(code, command);
    }
    rest.remove_prefix(colon + 1);
  }
}

bool is_launch_error(int code) {
  constexpr std::array<int, 10> kCodes = {ENOENT,  EACCES,  ENOEXEC, ENOTDIR,      ELOOP,
                                          ETXTBSY, ELIBBAD, EISDIR,  ENAMETOOLONG, E2BIG};
  return std::find(kCodes.begin(), kCodes.end(), code) != kCodes.end();
}

int launch_failure_status(int code) {
  return code == ENOENT ? 127 : 126;
}

std::string launch_failure_message(const std::string& command, int code) {
  const std::string shown = command.empty() ? "''" : command;
  if (code == ENOENT) {
    // An existing script whose interpreter is missing fails with ENOENT as well.
    if (command.find('/') != std::string::npos && ::access(command.c_str(), F_OK) == 0) {
      return shown + ": cannot execute: its interpreter was not found";
    }
    return shown + ": command not found";
  }
  return shown + ": cannot execute: " + ::strerror(code);
}

bool is_init(std::string_view path) {
  constexpr std::array<std::string_view, 12> kInits = {"init",       "systemd",     "tini",        "tini-static",
                                                       "dumb-init",  "docker-init", "catatonit",   "runit",
                                                       "runit-init", "s6-svscan",   "openrc-init", "beam-init"};
  const auto slash = path.find_last_of('/');
  const auto base = slash == std::string_view::npos ? path : path.substr(slash + 1);
  return std::find(kInits.begin(), kInits.end(), base) != kInits.end();
}

bool looks_like_shell_script(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 128> head{};
  const ssize_t got = fd ? ::read(fd.get(), head.data(), head.size()) : -1;
  if (got < 0) {
    return false;
  }
  const std::string_view text(head.data(), static_cast<std::size_t>(got));
  return text.substr(0, text.find('\n')).find('\0') == std::string_view::npos;
}

std::string quote_command(const std::vector<std::string>& words) {
  constexpr std::string_view kPlain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_@%+=:,./-";
  std::string line;
  for (const auto& word : words) {
    if (!line.empty()) {
      line += ' ';
    }
    if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) {
      line += word;
      continue;
    }
    line += '\'';
    for (const char c : word) {
      line += c == '\'' ? "'\\''" : std::string(1, c);
    }
    line += '\'';
  }
  return line;
}

}  // namespace beam::runtime
