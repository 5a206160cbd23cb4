#include "base/fault.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <cstdlib>
#include <list>
#include <string>

namespace beam {
namespace {

struct Point {
  std::string name;
  std::atomic<long> left;
  bool kill;
  Point(std::string n, long count, bool k) : name(std::move(n)), left(count), kill(k) {}
};

std::list<Point> parse() {
  std::list<Point> points;
  const char* spec = std::getenv("BEAM_FAULT");
  std::string_view rest = spec != nullptr ? spec : "";
  while (!rest.empty()) {
    const auto comma = rest.find(',');
    auto item = rest.substr(0, comma);
    rest = comma == std::string_view::npos ? std::string_view{} : rest.substr(comma + 1);
    const auto colon = item.find(':');
    long count = 1;
    bool kill = false;
    if (colon != std::string_view::npos) {
      auto tail = item.substr(colon + 1);
      if (tail.ends_with(":kill")) {
        kill = true;
        tail.remove_suffix(5);
      }
      std::from_chars(tail.data(), tail.data() + tail.size(), count);
    }
    points.emplace_back(std::string(item.substr(0, colon)), count, kill);
  }
  return points;
}

}  // namespace

bool fault_point(std::string_view name) {
  static std::list<Point> points = parse();
  for (auto& point : points) {
    if (point.name == name && point.left.fetch_sub(1) == 1) {
      if (point.kill) {
        ::kill(::getpid(), SIGKILL);
      }
      return true;
    }
  }
  return false;
}

}  // namespace beam
