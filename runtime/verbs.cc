// The table of verbs, in the order in which `beam --help` lists them.
#include <array>

#include "runtime/verb.h"

namespace beam::runtime {
namespace {

constexpr std::array kVerbs = {
    Verb{"run", "Run a command in a new sandbox", verb_run},
    Verb{"exec", "Run another process in a running sandbox", verb_exec},
    Verb{"ps", "List sandboxes", verb_ps},
    Verb{"tree", "Show a sandbox's processes with virtual and host pids", verb_tree},
    Verb{"logs", "Print stdout and stderr of a detached sandbox", verb_logs},
    Verb{"attach", "Take over the terminal of a sandbox", verb_attach},
    Verb{"kill", "Send a signal to a sandbox or one of its processes", verb_kill},
    Verb{"wait", "Wait for the end of a sandbox and end with its exit status", verb_wait},
    Verb{"rm", "Remove sandboxes that have ended", verb_rm},
    Verb{"prune", "Remove all sandboxes that have ended", verb_prune},
    Verb{"check", "Say what in a sandbox could not be frozen", verb_check},
    Verb{"freeze", "Freeze a sandbox to an image", verb_freeze},
    Verb{"thaw", "Make a frozen sandbox again from its image", verb_thaw},
    Verb{"show", "Show what is in an image", verb_show},
    Verb{"verify", "Check an image", verb_verify},
    Verb{"migrate", "Move a running sandbox to another workstation", verb_migrate},
    Verb{"ws", "List the workstations of this cluster", verb_ws},
    Verb{"lab", "Run workstations on this machine, to test migration", verb_lab},
    Verb{"rehearse", "Run a command natively and again while it is moved, and compare", verb_rehearse},
    Verb{"diff", "Print what a sandbox has changed of the workstation's files", verb_diff},
    Verb{"apply", "Carry a sandbox's changes over to the workstation's files", verb_apply},
    Verb{"doctor", "Say what this workstation offers and what that costs", verb_doctor},
    Verb{"version", "Print the version", verb_version},
};

}  // namespace

std::span<const Verb> verbs() {
  return kVerbs;
}

}  // namespace beam::runtime
