// What stands behind the pointers of interposed calls, as strace(1) writes it.
#include <sys/wait.h>

#include "interpose/syscall_args.h"

namespace beam::interpose {
namespace {

void field(std::string& out, const char* name, std::uint64_t value) {
  out += out.ends_with('{') ? "" : ", ";
  out += name;
  out += '=';
  print_unsigned(out, value);
}

void print_time(std::string& out, const timeval& time) {
  out += "{tv_sec=" + std::to_string(time.tv_sec) + ", tv_usec=" + std::to_string(time.tv_usec) + "}";
}

void print_limit(std::string& out, rlim_t limit) {
  if (limit == RLIM_INFINITY) {
    out += "RLIM64_INFINITY";
  } else {
    print_unsigned(out, limit);
  }
}

const char* code_name(const siginfo_t& info) {
  switch (info.si_code) {
    case SI_USER:
      return "SI_USER";
    case SI_KERNEL:
      return "SI_KERNEL";
    case SI_QUEUE:
      return "SI_QUEUE";
    case SI_TIMER:
      return "SI_TIMER";
    case SI_MESGQ:
      return "SI_MESGQ";
    case SI_ASYNCIO:
      return "SI_ASYNCIO";
    case SI_TKILL:
      return "SI_TKILL";
    default:
      break;
  }
  static constexpr const char* kChild[] = {"CLD_EXITED",  "CLD_KILLED",  "CLD_DUMPED",
                                           "CLD_TRAPPED", "CLD_STOPPED", "CLD_CONTINUED"};
  const bool child = info.si_signo == SIGCHLD && info.si_code >= CLD_EXITED && info.si_code <= CLD_CONTINUED;
  return child ? kChild[info.si_code - CLD_EXITED] : nullptr;
}

}  // namespace

void print_value(std::string& out, const PrintContext& /*context*/, const timespec& value) {
  out += "{tv_sec=" + std::to_string(value.tv_sec) + ", tv_nsec=" + std::to_string(value.tv_nsec) + "}";
}

void print_value(std::string& out, const PrintContext& context, const siginfo_t& value) {
  if (value.si_signo == 0) {
    out += "{}";
    return;
  }
  out += "{si_signo=";
  print_arg(out, context, Signal{value.si_signo});
  out += ", si_code=";
  if (const char* name = code_name(value); name != nullptr) {
    out += name;
  } else {
    print_signed(out, value.si_code);
  }
  out += ", si_pid=" + std::to_string(value.si_pid) + ", si_uid=" + std::to_string(value.si_uid);
  if (value.si_signo == SIGCHLD && value.si_code >= CLD_EXITED) {
    out += ", si_status=";
    if (value.si_code == CLD_EXITED) {
      print_signed(out, value.si_status);
    } else {
      print_arg(out, context, Signal{value.si_status});
    }
  }
  out += "}";
}

void print_value(std::string& out, const PrintContext& /*context*/, const sched_param& value) {
  out += "[" + std::to_string(value.sched_priority) + "]";
}

void print_value(std::string& out, const PrintContext& /*context*/, const rlimit& value) {
  out += "{rlim_cur=";
  print_limit(out, value.rlim_cur);
  out += ", rlim_max=";
  print_limit(out, value.rlim_max);
  out += "}";
}

void print_value(std::string& out, const PrintContext& /*context*/, const rusage& value) {
  out += "{ru_utime=";
  print_time(out, value.ru_utime);
  out += ", ru_stime=";
  print_time(out, value.ru_stime);
  out += ", ...}";
}

void print_value(std::string& out, const PrintContext& /*context*/, const utsname& value) {
  out += "{sysname=";
  print_quoted(out, value.sysname);
  out += ", nodename=";
  print_quoted(out, value.nodename);
  out += ", release=";
  print_quoted(out, value.release);
  out += ", ...}";
}

void print_value(std::string& out, const PrintContext& /*context*/, const struct sysinfo& value) {
  out += "{";
  field(out, "uptime", static_cast<std::uint64_t>(value.uptime));
  field(out, "totalram", value.totalram);
  field(out, "freeram", value.freeram);
  field(out, "procs", value.procs);
  out += ", ...}";
}

void print_value(std::string& out, const PrintContext& context, const clone_args& value) {
  out += "{flags=";
  print_arg(out, context, CloneFlags{value.flags & ~0xffULL});
  out += ", exit_signal=";
  print_arg(out, context, Signal{static_cast<int>(value.exit_signal)});
  out += ", stack=";
  print_pointer(out, value.stack);
  out += ", stack_size=";
  print_pointer(out, value.stack_size);
  if (value.tls != 0) {
    out += ", tls=";
    print_pointer(out, value.tls);
  }
  out += "}";
}

void print_value(std::string& out, const PrintContext& context, const sigevent& value) {
  out += "{sigev_signo=";
  print_arg(out, context, Signal{value.sigev_signo});
  switch (value.sigev_notify) {
    case SIGEV_SIGNAL:
      out += ", sigev_notify=SIGEV_SIGNAL";
      break;
    case SIGEV_NONE:
      out += ", sigev_notify=SIGEV_NONE";
      break;
    case SIGEV_THREAD_ID:
      out += ", sigev_notify=SIGEV_THREAD_ID, sigev_notify_thread_id=";
      print_arg(out, context, PidArg{value._sigev_un._tid});
      break;
    default:
      out += ", sigev_notify=" + std::to_string(value.sigev_notify);
      break;
  }
  out += "}";
}

void print_value(std::string& out, const PrintContext& context, const WaitStatus& value) {
  const int status = value.value;
  if (WIFEXITED(status)) {
    out += "[{WIFEXITED(s) && WEXITSTATUS(s) == " + std::to_string(WEXITSTATUS(status)) + "}]";
  } else if (WIFSIGNALED(status)) {
    out += "[{WIFSIGNALED(s) && WTERMSIG(s) == ";
    print_arg(out, context, Signal{WTERMSIG(status)});
    out += WCOREDUMP(status) ? " && WCOREDUMP(s)}]" : "}]";
  } else if (WIFSTOPPED(status)) {
    out += "[{WIFSTOPPED(s) && WSTOPSIG(s) == ";
    print_arg(out, context, Signal{WSTOPSIG(status)});
    out += "}]";
  } else if (WIFCONTINUED(status)) {
    out += "[{WIFCONTINUED(s)}]";
  } else {
    out += "[" + std::to_string(status) + "]";
  }
}

void print_value(std::string& out, const PrintContext& context, const SignalSet& value) {
  out += '[';
  for (int signal = 1; signal <= 64; ++signal) {
    if ((value.bits >> (signal - 1) & 1U) != 0) {
      out += out.ends_with('[') ? "" : " ";
      std::string name;
      print_arg(name, context, Signal{signal});
      out += name.starts_with("SIG") ? name.substr(3) : name;
    }
  }
  out += ']';
}

void print_value(std::string& out, const PrintContext& context, const __user_cap_header_struct& value) {
  out += "{version=";
  print_pointer(out, value.version);
  out += ", pid=";
  print_arg(out, context, PidArg{value.pid});
  out += "}";
}

void print_value(std::string& out, const PrintContext& /*context*/, const int& value) {
  out += "[" + std::to_string(value) + "]";
}

}  // namespace beam::interpose
