// When messages over sockets are looked at for process ids: SCM_CREDENTIALS of unix(7).
//
// sendmsg(2) and recvmsg(2) carry ids only in their control data, which a filter can't see, and are too frequent to be
// trapped for everybody. So a process gets a filter for them when it comes to need one:
//   - for sends with its first UNIX socket: whoever holds such a socket has made one, or descends from a process that
//   has, or
//     got it through one;
//   - for receives, all of the sandbox at once, before the first socket of the sandbox has the kernel add credentials
//   to what
//     it receives (SO_PASSCRED): any process may hold that socket, or get it later. Likewise before the first datagram
//     socket is bound to a path of a mount view, as whom it sends to is shown that path.
// Nothing else than these four calls is ever slowed down: sendmsg, sendmmsg, recvmsg, recvmmsg.
#pragma once

#include <linux/filter.h>

#include <vector>

#include "interpose/call.h"
#include "interpose/task.h"

namespace beam::interpose {

class Tracer;

inline constexpr unsigned kTrapSends = 1;
inline constexpr unsigned kTrapReceives = 2;

// For the escalated part of a call that needs them: its process gets what it lacks of `traps`, and the program then
// makes the call again.
[[nodiscard]] Rewrite again_with_traps(RewriteCall& call, unsigned traps);

// The same for receives in all of the sandbox (trap_all_receives).
[[nodiscard]] Rewrite again_with_all_receives(RewriteCall& call);

// A filter that traps those calls, and is to be stacked upon Beam's own.
[[nodiscard]] std::vector<sock_filter> message_filter(unsigned traps);
// Stops the sandbox and gives every process the filter for receives. On the event thread, not during a hold.
void trap_all_receives(Tracer& tracer);

}  // namespace beam::interpose
