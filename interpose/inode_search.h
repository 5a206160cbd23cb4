// Files whose path is not known any more, but that have one.
#pragma once

#include <sys/types.h>

#include <string>

namespace beam::interpose {

// A path that leads to an inode which used to be at `path`: renamed in its directory, mostly, or moved near by. Looks
// below the directories on the old path, the nearest first, each level before the next; gives up after 20,000 entries.
// Empty: not found. The caller makes sure of the device.
[[nodiscard]] std::string find_inode_near(const std::string& path, ino_t inode);

}  // namespace beam::interpose
