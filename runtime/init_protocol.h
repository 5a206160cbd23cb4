/* What the built-in init (init_main.c, C) tells the supervisor through the descriptor kInitReportFd while it starts
 * COMMAND. The stream ends, with no fault reported, once COMMAND has been executed. */
#ifndef BEAM_RUNTIME_INIT_PROTOCOL_H_
#define BEAM_RUNTIME_INIT_PROTOCOL_H_

#include <stdint.h>

enum { kInitReportFd = 3 };

enum { kInitReportPid = 1, kInitReportFault = 2 };

struct InitReport {
  int32_t kind;
  int32_t value; /* the pid of COMMAND as seen inside, or an errno */
};

#endif
