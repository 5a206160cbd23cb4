#include "ns/network_space.h"

#include <gtest/gtest.h>
#include <netinet/in.h>

#include <algorithm>

namespace beam::ns {
namespace {

class NetworkSpaceTest : public testing::Test {
 protected:
  static NetworkSpace make() { return {std::move(HostIndex::claim()).value(), NetworkSpace::kFirstAddress}; }
  NetworkSpace network_ = make();
  const IpAddress any4_ = IpAddress::v4(INADDR_ANY);
  const IpAddress any6_;

  Binding bound(const IpAddress& ip, std::uint16_t port, bool v6_only = false) {
    Binding binding{ip, port, v6_only, {}};
    binding.host = network_.place_for(binding);
    network_.record(IPPROTO_TCP, binding);
    return binding;
  }
};

TEST_F(NetworkSpaceTest, EverySandboxHasAddressesOfItsOwn) {
  const NetworkSpace other = make();
  EXPECT_NE(network_.index(), other.index());
  const Binding binding{any4_, 8080, false, {}};
  EXPECT_NE(network_.place_for(binding).ip, other.place_for(binding).ip);
  EXPECT_EQ(network_.place_for(binding).port, 8080);
  EXPECT_FALSE(network_.may_reach_us(other.place_for(binding)));
}

TEST_F(NetworkSpaceTest, PortsThatNeedAPrivilegeAreRealisedAbove) {
  for (const IpAddress& ip : {any4_, any6_, IpAddress::loopback4(), IpAddress::loopback6()}) {
    const Binding binding = bound(ip, 80);
    EXPECT_GE(binding.host.port, kFirstUnprivileged);
    EXPECT_EQ(network_.shown(IPPROTO_TCP, binding.host), (VirtualEndpoint{ip, 80}));
  }
  EXPECT_EQ(parse_low_port(9999), std::nullopt);
}

TEST_F(NetworkSpaceTest, WhatIsBoundToAllAddressesIsFoundByEach) {
  const Binding dual = bound(any6_, 8080);
  for (const IpAddress& ip :
       {IpAddress::loopback4(), IpAddress::loopback6(), network_.address4(), network_.address6(), any4_}) {
    EXPECT_EQ(network_.candidates(IPPROTO_TCP, {ip, 8080}), std::vector{dual.host}) << ip.text();
  }
  EXPECT_TRUE(network_.candidates(IPPROTO_UDP, {IpAddress::loopback4(), 8080}).empty());
  EXPECT_TRUE(network_.candidates(IPPROTO_TCP, {IpAddress::v4(0x08080808), 8080}).empty());
}

TEST_F(NetworkSpaceTest, TheVeryAddressComesFirst) {
  const Binding all = bound(any4_, 8080);
  const Binding loopback = bound(IpAddress::loopback4(), 8080);
  EXPECT_EQ(network_.candidates(IPPROTO_TCP, {IpAddress::loopback4(), 8080}), (std::vector{loopback.host, all.host}));
}

TEST_F(NetworkSpaceTest, OneFamilyIsNotTheOther) {
  bound(any6_, 8080, true);
  EXPECT_TRUE(network_.candidates(IPPROTO_TCP, {IpAddress::loopback4(), 8080}).empty());
  EXPECT_EQ(network_.candidates(IPPROTO_TCP, {IpAddress::loopback6(), 8080}).size(), 1U);
}

TEST_F(NetworkSpaceTest, TheOtherEndTellsWhichOfAllAddressesWasUsed) {
  const Binding all = bound(any4_, 8080);
  const HostEndpoint client{network_.source_for(IpAddress::loopback4()), 40000};
  const auto ends = network_.shown(IPPROTO_TCP, all.host, client);
  EXPECT_EQ(ends.own, (VirtualEndpoint{IpAddress::loopback4(), 8080}));
  EXPECT_EQ(ends.peer, (VirtualEndpoint{IpAddress::loopback4(), 40000}));
  EXPECT_EQ(network_.shown(IPPROTO_TCP, all.host), (VirtualEndpoint{any4_, 8080}));
  const HostEndpoint outside{IpAddress::v4(0xc0000201), 443};
  EXPECT_EQ(network_.shown(IPPROTO_TCP, {IpAddress::v4(0xc0000202), 40001}, outside).own,
            (VirtualEndpoint{network_.address4(), 40001}));
}

TEST_F(NetworkSpaceTest, AllAddressesMustBeFree) {
  const Binding loopback = bound(IpAddress::loopback4(), 8080);
  const auto places = network_.must_be_free(IPPROTO_TCP, {any4_, 8080, false, {}});
  EXPECT_NE(std::find(places.begin(), places.end(), loopback.host), places.end());
  EXPECT_EQ(network_.must_be_free(IPPROTO_TCP, {IpAddress::loopback6(), 8080, false, {}}), std::vector<HostEndpoint>{});
}

TEST_F(NetworkSpaceTest, AThawCarriesAddressesOver) {
  const HostEndpoint former = bound(any4_, 8080).host;
  NetworkSpace thawed = make();
  thawed.carry_over_from(network_.index());
  EXPECT_EQ(thawed.carried_over(former.ip), thawed.place_for({any4_, 8080, false, {}}).ip);
  EXPECT_EQ(thawed.carried_over(IpAddress::loopback4()), IpAddress::loopback4());
}

TEST_F(NetworkSpaceTest, AnExpectedConnectionIsExpectedOnce) {
  const HostEndpoint from{network_.source_for(IpAddress::loopback4()), 40000};
  const HostEndpoint to{from.ip, 80};
  EXPECT_FALSE(network_.was_expected(from, to));
  network_.expect(from, to);
  EXPECT_TRUE(network_.was_expected(from, to));
  EXPECT_FALSE(network_.was_expected(from, to));
}

}  // namespace
}  // namespace beam::ns
