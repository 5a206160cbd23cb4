#include "ns/host_names.h"

#include <gtest/gtest.h>

#include "ns/network_space.h"

namespace beam::ns {
namespace {

TEST(HostNames, ComeBeforeTheWorkstations) {
  const std::uint32_t one = NetworkSpace::address_of_member(1);
  EXPECT_EQ(hosts_text("127.0.0.1 localhost\n", {{one, {"db", "db.example"}}, {one + 1, {"localhost"}}, {one + 2, {}}}),
            "100.64.0.1 db db.example\nfd62:6561:6d00::6440:1 db db.example\n127.0.0.1 localhost\n");
  EXPECT_EQ(hosts_text("", {}), "");
}

}  // namespace
}  // namespace beam::ns
