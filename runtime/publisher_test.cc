#include "runtime/publisher.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <set>

#include "ns/host_addresses.h"

namespace beam::runtime {
namespace {

ns::HostEndpoint name_of(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &size);
  const auto parsed = ns::parse_socket_address(&storage, size);
  return {parsed->ip, parsed->port};
}

UniqueFd datagram_socket(const ns::HostEndpoint& at) {
  UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const auto name = ns::to_socket_address(at, AF_INET);
  EXPECT_EQ(::bind(fd.get(), name.raw(), name.size), 0);
  const timeval patience{20, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  return fd;
}

class PublishedDatagrams : public testing::Test {
 protected:
  static constexpr std::uint16_t kVirtual = 9000;

  void SetUp() override {
    auto index = ns::HostIndex::claim();
    ASSERT_TRUE(index.ok());
    network_ = std::make_shared<ns::NetworkSpace>(std::move(*index), ns::NetworkSpace::kFirstAddress);
    ns::Binding binding{ns::IpAddress::v4(INADDR_ANY), kVirtual, false, {}};
    binding.host = network_->place_for(binding);
    service_ = datagram_socket(binding.host);
    network_->record(IPPROTO_UDP, binding);
    // A number that nobody has now.
    at_ = name_of(datagram_socket({ns::IpAddress::loopback4(), 0}).get());
  }

  void publish(const DatagramPatience& patience) {
    auto started = Publisher::start(network_, {{at_.ip, at_.port, kVirtual, IPPROTO_UDP}}, patience);
    ASSERT_TRUE(started.ok()) << started.error().message();
    publisher_ = std::move(*started);
  }

  // Sends a word, and gives where the service sees it come from.
  ns::HostEndpoint send(const UniqueFd& client) {
    const auto to = ns::to_socket_address(at_, AF_INET);
    EXPECT_EQ(::sendto(client.get(), "x", 1, 0, to.raw(), to.size), 1);
    sockaddr_storage from{};
    socklen_t size = sizeof from;
    char word = 0;
    EXPECT_EQ(::recvfrom(service_.get(), &word, 1, 0, reinterpret_cast<sockaddr*>(&from), &size), 1);
    const auto parsed = ns::parse_socket_address(&from, size);
    return parsed ? ns::HostEndpoint{parsed->ip, parsed->port} : ns::HostEndpoint{};
  }

  std::shared_ptr<ns::NetworkSpace> network_;
  UniqueFd service_;
  ns::HostEndpoint at_;
  std::unique_ptr<Publisher> publisher_;
};

TEST_F(PublishedDatagrams, FlowsLastWhileTheyAreUsedAndAreForgottenThen) {
  publish({std::chrono::milliseconds(200), std::chrono::milliseconds(200), 100});
  const UniqueFd one = datagram_socket({ns::IpAddress::loopback4(), 0});
  const UniqueFd other = datagram_socket({ns::IpAddress::loopback4(), 0});
  const auto first = send(one);
  EXPECT_EQ(send(one), first);
  const auto second = send(other);
  EXPECT_NE(second, first);
  // Kept by being used; the other one's quiet flow goes meanwhile.
  const auto to = ns::to_socket_address(second, AF_INET);
  for (int i = 0; i < 10'000'000; ++i) {
    EXPECT_EQ(send(one), first);
    // Nobody has its port any more once the flow is gone.
    UniqueFd probe(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (::bind(probe.get(), to.raw(), to.size) == 0) {
      return;
    }
  }
  FAIL() << "the quiet flow is still there";
}

TEST_F(PublishedDatagrams, ANewFlowTakesThePlaceOfTheQuietest) {
  publish({std::chrono::minutes(10), std::chrono::minutes(10), 2});
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(datagram_socket({ns::IpAddress::loopback4(), 0}));
  }
  const auto first = send(clients[0]);
  const auto second = send(clients[1]);
  EXPECT_EQ(send(clients[0]), first);
  send(clients[2]);
  EXPECT_EQ(send(clients[0]), first);
  const auto to = ns::to_socket_address(second, AF_INET);
  UniqueFd probe(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(::bind(probe.get(), to.raw(), to.size), 0);
}

TEST_F(PublishedDatagrams, LetsGoOfItsPortAndTakesItBack) {
  publish({});
  UniqueFd probe(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const auto name = ns::to_socket_address(at_, AF_INET);
  EXPECT_NE(::bind(probe.get(), name.raw(), name.size), 0);
  publisher_->suspend();
  EXPECT_EQ(::bind(probe.get(), name.raw(), name.size), 0);
  const auto refused = publisher_->resume();
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().message().find(at_.text()), std::string::npos);
  probe.reset();
  EXPECT_TRUE(publisher_->resume().ok());
  const UniqueFd client = datagram_socket({ns::IpAddress::loopback4(), 0});
  EXPECT_NE(send(client).port, 0);
}

}  // namespace
}  // namespace beam::runtime
