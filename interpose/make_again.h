// At a call's exit: the program makes it once more, as if it had not been made yet.
#pragma once

#include "interpose/call.h"

namespace beam::interpose {

void make_again(ExitCall& call, long number);
// At its entry: the kernel does nothing, and at_exit() is run all the same.
void skip_to_exit(RewriteCall& call);

}  // namespace beam::interpose
