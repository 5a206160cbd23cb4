// beam kill: a signal for a sandbox's COMMAND or for one of its processes.
#include <signal.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "runtime/client.h"
#include "runtime/verb.h"

namespace beam::runtime {
namespace {

// "TERM", "SIGTERM", "15", "RTMIN+3"; nothing for what is no signal.
std::optional<int> parse_signal(std::string text) {
  int number = 0;
  const auto* const end = text.data() + text.size();
  if (const auto parsed = std::from_chars(text.data(), end, number); parsed.ec == std::errc() && parsed.ptr == end) {
    return number >= 0 && number <= SIGRTMAX ? std::optional(number) : std::nullopt;
  }
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  if (text.starts_with("SIG")) {
    text.erase(0, 3);
  }
  for (int signal = 1; signal < SIGRTMIN; ++signal) {
    const char* name = ::sigabbrev_np(signal);
    if (name != nullptr && text == name) {
      return signal;
    }
  }
  if (text == "RTMIN" || text == "RTMAX") {
    return text == "RTMIN" ? SIGRTMIN : SIGRTMAX;
  }
  if (text.starts_with("RTMIN+") || text.starts_with("RTMAX-")) {
    const auto parsed = std::from_chars(text.data() + 6, text.data() + text.size(), number);
    if (parsed.ec == std::errc() && parsed.ptr == text.data() + text.size() && number >= 0 &&
        number <= SIGRTMAX - SIGRTMIN) {
      return text[3] == 'I' ? SIGRTMIN + number : SIGRTMAX - number;
    }
  }
  return std::nullopt;
}

}  // namespace

int verb_kill(const std::vector<std::string>& arguments) {
  VerbLine line("kill", "Sends a signal (default: TERM) to a sandbox's command or to one of its processes.",
                "[OPTIONS] NAME[:VPID]", kExitUsage);
  std::string signal_name = "TERM";
  std::string target;
  line.app().add_option("-s,--signal", signal_name, "The signal, by name or number")->type_name("SIG");
  line.app()
      .add_option("NAME[:VPID]", target, "The sandbox, or @GROUP, and a process in it as seen inside")
      ->required();
  std::vector<std::string> words = arguments;
  for (auto& word : words) {
    // -9 and -KILL, as kill(1) takes them.
    if (word.size() > 1 && word[0] == '-' && word[1] != '-' && word != "-s" && word != "-h" &&
        parse_signal(word.substr(1))) {
      word = "--signal=" + word.substr(1);
    }
  }
  if (const auto done = line.parse(words)) {
    return *done;
  }
  const auto signal = parse_signal(signal_name);
  if (!signal.has_value()) {
    return line.wrong_usage("'" + signal_name + "': no such signal");
  }
  std::int32_t vpid = 0;
  std::string name = target;
  if (const auto colon = target.find(':'); colon != std::string::npos) {
    name = target.substr(0, colon);
    const std::string number = target.substr(colon + 1);
    const auto parsed = std::from_chars(number.data(), number.data() + number.size(), vpid);
    if (parsed.ec != std::errc() || parsed.ptr != number.data() + number.size() || vpid <= 0) {
      return line.wrong_usage("'" + number + "': is no process id");
    }
  }
  const auto store = RecordStore::open();
  if (!store.ok()) {
    return fail(kExitFailed, store.error().message());
  }
  const auto found = find_sandboxes(*store, name);
  if (!found.ok()) {
    return fail_lookup(name, found.error());
  }
  int status = kExitDone;
  for (const auto& record : *found) {
    auto channel = connect(*store, record);
    if (!channel.ok()) {
      status = fail_connect(record.name, channel.error());
      continue;
    }
    if (const auto reply = ask<Done>(*channel, KillRequest{vpid, *signal}); !reply.ok()) {
      status = fail(kExitFailed, reply.error().message());
    }
  }
  return status;
}

}  // namespace beam::runtime
