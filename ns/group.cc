#include "ns/group.h"

#include <unistd.h>

#include <charconv>
#include <nlohmann/json.hpp>

namespace beam::ns {
namespace {

using Json = nlohmann::json;

constexpr int kTries = 200;
constexpr useconds_t kPause = 1000;  // microseconds, for one who looks at the same block to go

// Numbers sort as they count.
std::string key_of(std::uint32_t number) {
  std::string digits = std::to_string(number);
  return std::string(3 - std::min<std::size_t>(3, digits.size()), '0') + digits;
}

std::string to_value(const Member& member) {
  return Json{{"name", member.name},
              {"host_name", member.host_name},
              {"workstation", member.workstation},
              {"number", member.number}}
      .dump();
}

template <typename T>
T field(const Json& json, const char* name) {
  const auto found = json.find(name);
  if constexpr (std::is_same_v<T, std::string>) {
    return found != json.end() && found->is_string() ? found->get<T>() : T();
  } else {
    return found != json.end() && found->is_number_unsigned() ? found->get<T>() : T();
  }
}

std::optional<Json> parse(const std::string& value) {
  Json json = Json::parse(value, nullptr, false);
  return json.is_object() ? std::optional<Json>(std::move(json)) : std::nullopt;
}

std::optional<Member> to_member(const Entry& entry) {
  const auto json = parse(entry.value);
  if (!json) {
    return std::nullopt;
  }
  Member member{field<std::string>(*json, "name"), field<std::string>(*json, "host_name"),
                field<std::string>(*json, "workstation"), field<std::uint32_t>(*json, "number")};
  return member.number != 0 && member.number < kMembers ? std::optional<Member>(std::move(member)) : std::nullopt;
}

std::string moved_key(std::uint32_t number, Protocol protocol, bool v4, std::uint16_t port) {
  return "moved/" + key_of(number) + "/" + std::to_string(protocol) + (v4 ? "/4/" : "/6/") + std::to_string(port);
}

}  // namespace

Result<std::shared_ptr<Group>> Group::join(std::shared_ptr<Store> store, const std::string& group,
                                           const Member& wanted) {
  auto joined = std::shared_ptr<Group>(new Group(std::move(store), "groups/" + group + "/"));
  if (auto done = joined->join(wanted); !done.ok()) {
    return std::move(done).error().context("group " + group);
  }
  return joined;
}

Result<> Group::join(const Member& wanted) {
  BEAM_TRY_ASSIGN(lease_, store_->grant());
  std::vector<bool> held(kMembers, false);  // numbers that somebody has and no entry tells of: one who is about to go
  for (int i = 0; i < kTries; ++i) {
    BEAM_TRY_ASSIGN(const Attempt attempt, try_to_join(wanted, held));
    if (attempt == Attempt::kDone) {
      return success();
    }
  }
  return Error(EBUSY, "no place found for " + wanted.name).remedy("try again");
}

Result<Group::Attempt> Group::try_to_join(const Member& wanted, std::vector<bool>& held) {
  const std::string block_key = prefix_ + "blocks/" + wanted.workstation;
  BEAM_TRY_ASSIGN(const auto block_entry, store_->get(block_key));
  BEAM_TRY_ASSIGN(const auto living, members());
  std::vector<bool> taken = held;
  taken[0] = true;
  bool alone = true;
  for (const Member& member : living) {
    taken[member.number] = true;
    alone = alone && member.workstation != wanted.workstation;
    if (member.name == wanted.name) {
      return Error(EEXIST, wanted.name + ": the name is in use in the group").remedy("choose another with --name");
    }
  }
  Member self = wanted;
  if (self.number == 0) {
    while (self.number < kMembers && taken[self.number]) {
      ++self.number;
    }
    if (self.number == kMembers) {
      return Error(EADDRINUSE, "has " + std::to_string(kMembers - 1) + " sandboxes, and no address for another one")
          .remedy("use another group");
    }
  } else if (taken[self.number]) {
    return Error(EADDRINUSE, IpAddress::v4(NetworkSpace::address_of_member(self.number)).text() +
                                 ": the address is in use in the group")
        .remedy("end the sandbox that has it; see: beam ps");
  }

  const auto stored = block_entry ? parse(block_entry->value) : std::nullopt;
  std::uint32_t block = stored ? field<std::uint32_t>(*stored, "block") % kBlocks : random_block();
  std::string token = stored ? field<std::string>(*stored, "token") : std::string();
  bool fresh = token.empty();
  if (fresh) {
    token = random_token();
  }
  auto claimed = HostIndex::claim(block, self.number, token);
  if (!claimed.ok() && claimed.error().code() == EBUSY && alone) {
    // Somebody else's since this group last had a sandbox here.
    fresh = true;
    block = random_block();
    token = random_token();
    claimed = HostIndex::claim(block, self.number, token);
  }
  if (!claimed.ok()) {
    const int code = claimed.error().code();
    if (code != EBUSY && code != EADDRINUSE) {
      return std::move(claimed).error();
    }
    if (code == EADDRINUSE && wanted.number == 0 && !fresh) {
      held[self.number] = true;
    }
    ::usleep(kPause);
    return Attempt::kAgain;
  }

  Transaction joining;
  joining.when = {{block_key, block_entry ? block_entry->revision : 0},
                  {prefix_ + "sandboxes/" + key_of(self.number), 0},
                  {prefix_ + "names/" + self.name, 0}};
  joining.puts = {{prefix_ + "sandboxes/" + key_of(self.number), to_value(self), lease_->id()},
                  {prefix_ + "names/" + self.name, key_of(self.number), lease_->id()}};
  if (fresh) {
    joining.puts.push_back({block_key, Json{{"block", block}, {"token", token}}.dump(), kNoLease});
  }
  BEAM_TRY_ASSIGN(const bool done, store_->commit(joining));
  if (!done) {
    return Attempt::kAgain;
  }
  self_ = std::move(self);
  index_ = std::move(claimed).value();
  return Attempt::kDone;
}

Result<std::vector<Member>> Group::members() const {
  BEAM_TRY_ASSIGN(const auto entries, store_->list(prefix_ + "sandboxes/"));
  std::vector<Member> living;
  for (const Entry& entry : entries) {
    if (auto member = to_member(entry)) {
      living.push_back(std::move(*member));
    }
  }
  return living;
}

Result<> Group::publish(Protocol protocol, const Binding& binding) {
  Transaction put;
  const std::string value = Json{{"ip", binding.host.ip.v4()}, {"port", binding.host.port}}.dump();
  for (const bool v4 : {true, false}) {
    if (binding.is_dual() || binding.ip.is_v4() == v4) {
      put.puts.push_back({prefix_ + moved_key(self_.number, protocol, v4, binding.port), value, lease_->id()});
    }
  }
  const auto done = store_->commit(put);
  return done.ok() ? success() : Result<>(done.error());
}

std::optional<HostEndpoint> Group::find(Protocol protocol, const VirtualEndpoint& endpoint) const {
  const auto entry = store_->get(
      prefix_ + moved_key(NetworkSpace::member_at(endpoint.ip), protocol, endpoint.ip.is_v4(), endpoint.port));
  if (!entry.ok() || !*entry) {
    return std::nullopt;
  }
  const auto json = parse((*entry)->value);
  return json ? std::optional<HostEndpoint>(
                    {IpAddress::v4(field<std::uint32_t>(*json, "ip")), field<std::uint16_t>(*json, "port")})
              : std::nullopt;
}

}  // namespace beam::ns
