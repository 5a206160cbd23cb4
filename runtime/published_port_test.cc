#include "runtime/published_port.h"

#include <gtest/gtest.h>
#include <netinet/in.h>

namespace beam::runtime {
namespace {

TEST(PublishedPort, SaysWhereAndWhat) {
  const auto plain = parse_published_port("8080:80");
  ASSERT_TRUE(plain.ok());
  EXPECT_FALSE(plain->address);
  EXPECT_EQ(plain->port, 8080);
  EXPECT_EQ(plain->virtual_port, 80);
  EXPECT_EQ(plain->protocol, IPPROTO_TCP);

  const auto four = parse_published_port("127.0.0.1:1:65535/udp");
  ASSERT_TRUE(four.ok());
  EXPECT_EQ(four->address, ns::IpAddress::loopback4());
  EXPECT_EQ(four->port, 1);
  EXPECT_EQ(four->virtual_port, 65535);
  EXPECT_EQ(four->protocol, IPPROTO_UDP);

  const auto six = parse_published_port("[::1]:8080:80/tcp");
  ASSERT_TRUE(six.ok());
  EXPECT_EQ(six->address, ns::IpAddress::loopback6());
  EXPECT_EQ(six->protocol, IPPROTO_TCP);
}

TEST(PublishedPort, QuotesWhatItRefuses) {
  for (const char* text : {"", "80", ":80", "8080:", "8080:0", "0:80", "8080:65536", "8080:80/sctp", "8080:80/", "a:80",
                           "8080:b", "8080:-1", "8080: 80", "1.2.3:8080:80", "::1:8080:80", "[::1:8080:80",
                           "host:8080:80", "8080:80/udp/udp", ":8080:80"}) {
    const auto parsed = parse_published_port(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_NE(parsed.error().message().find("--publish '" + std::string(text) + "'"), std::string::npos);
  }
}

}  // namespace
}  // namespace beam::runtime
