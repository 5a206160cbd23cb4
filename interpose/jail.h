// The kernel's part of a sandbox with a mount view (landlock(7)): what its processes can't do even when a view is
// beaten. They never open a file by themselves but for what the kernel has to do for them: executing, and opening FIFOs
// and terminals. So that is all that their domain allows.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "rootfs/view.h"

namespace beam::interpose {

// The version of Landlock that this kernel has; 0: none.
[[nodiscard]] int landlock_version();
// A ruleset for the first process of a tree, to be entered by landlock_restrict_self(2). No descriptor: the kernel has
// no Landlock, which is no failure. `executables`: files of the workstation that may be executed though the view does
// not have them.
[[nodiscard]] Result<UniqueFd> make_jail(const rootfs::View& view, const std::vector<std::string>& executables);

}  // namespace beam::interpose
