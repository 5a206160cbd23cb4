// Any sequence of operations leaves PidSpace a bijection between the live host ids and their virtual ids, and agrees
// with a plain model of it. An operation is two bytes: what to do, and the host id.
#include <cstdint>
#include <map>
#include <set>

#include "base/check.h"
#include "ns/pid_space.h"

namespace {

using beam::HostPid;
using beam::VirtualPid;

constexpr pid_t kLimit = 700;  // room for each of the 255 host ids above kFirstAfterWrap, and soon wrapped

void check_agreement(const beam::ns::PidSpace& space, const std::map<HostPid, VirtualPid>& live) {
  std::set<VirtualPid> seen;
  for (const auto& [host, virtual_pid] : live) {
    BEAM_CHECK(virtual_pid.value() > 0 && virtual_pid.value() < kLimit);
    BEAM_CHECK(seen.insert(virtual_pid).second);
    BEAM_CHECK(space.to_virtual(host) == virtual_pid);
    BEAM_CHECK(space.to_host(virtual_pid) == host);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  beam::ns::PidSpace space(kLimit);
  std::map<HostPid, VirtualPid> live;
  std::set<VirtualPid> retired;  // once these; they may still be taken, or have been purged
  for (std::size_t at = 0; at + 1 < size; at += 2) {
    const HostPid host(1 + data[at + 1] % 255);
    switch (data[at] % 4) {
      case 0:
        if (!live.contains(host)) {
          live[host] = space.allocate(host);
        }
        break;
      case 1: {
        const VirtualPid wanted(1 + (data[at] / 4) * 10);
        if (live.contains(host)) {
          break;
        }
        bool taken = false;
        for (const auto& [other, virtual_pid] : live) {
          taken = taken || virtual_pid == wanted;
        }
        const bool bound = space.bind(host, wanted);
        BEAM_CHECK(bound ? !taken : taken || retired.contains(wanted));
        if (bound) {
          live[host] = wanted;
        }
        break;
      }
      case 2:
        // Records may still name it, but nothing reaches it any more.
        if (live.contains(host)) {
          const VirtualPid was = live[host];
          space.release(host);
          BEAM_CHECK(space.to_virtual(host) == was);
          BEAM_CHECK(space.to_host(was) == HostPid());
          live.erase(host);
        }
        break;
      default:
        if (live.contains(host)) {
          retired.insert(live[host]);
          space.retire(host);
          live.erase(host);
        }
        break;
    }
    if (at % 128 == 0) {
      check_agreement(space, live);
    }
  }
  check_agreement(space, live);
  return 0;
}
