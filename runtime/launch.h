// From the words of a command line to what execve(2) takes: the environment, the executable, and whether PID 1 is its
// own.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace beam::runtime {

// `base` ("K=V" each) without `unset`, then with `set`: "K=V", or "K" for the value that K has in `base`.
[[nodiscard]] std::vector<std::string> make_environment(std::vector<std::string> base,
                                                        const std::vector<std::string>& set,
                                                        const std::vector<std::string>& unset);
// The caller's own environment.
[[nodiscard]] std::vector<std::string> current_environment();
// The value of `name` in `environment`, or nullptr.
[[nodiscard]] const char* find_variable(const std::vector<std::string>& environment, std::string_view name);

// Where a command may lie, in the order in which execvp(3) tries them.
std::vector<std::string> executable_candidates(const std::string& command, const std::vector<std::string>& environment);
// Finds `command` as execvp(3) does, along the PATH of `environment` and relative to `working_directory`.
// ENOENT: nowhere; EACCES: found, but not executable.
Result<std::string> find_executable(const std::string& command, const std::vector<std::string>& environment,
                                    const std::string& working_directory);

// Whether execve(2) itself gives this error for a file that can't be run, as opposed to a failure of Beam.
[[nodiscard]] bool is_launch_error(int code);
// The exit status for a command that could not be executed for this errno: 127 not found, 126 otherwise.
[[nodiscard]] int launch_failure_status(int code);
// "COMMAND: not found" and the like.
[[nodiscard]] std::string launch_failure_message(const std::string& command, int code);

// True for a program that is an init itself, and so becomes PID 1 without one in front of it.
[[nodiscard]] bool is_init(std::string_view path);

// True when execve's ENOEXEC should be answered with /bin/sh, as execvp(3) and shells do: no zero byte in the first
// line.
[[nodiscard]] bool looks_like_shell_script(const std::string& path);

// The command as one line that a shell would read back the same.
[[nodiscard]] std::string quote_command(const std::vector<std::string>& words);

}  // namespace beam::runtime
