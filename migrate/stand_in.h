// A moment's process that does something in a virtual process's name: the kernel records who connected a socket or sent
// a message, and for an ordinary user that can only be the caller (unix(7), SCM_CREDENTIALS). What it records is the
// host id of a process that is gone, which the PID space translates from then on.
#pragma once

#include <functional>

#include "base/ids.h"
#include "base/result.h"
#include "interpose/shared.h"

namespace beam::migrate {

// Runs `work`, which gives 0 or an errno, in a child that shares memory and descriptors with this process, but not its
// working directory. `vpid` 0: nobody's name.
Result<> stand_in(interpose::Shared* shared, VirtualPid vpid, const std::string& what,
                  const std::function<int()>& work);

}  // namespace beam::migrate
