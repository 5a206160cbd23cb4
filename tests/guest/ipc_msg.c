// SysV message queues: msg_lspid and msg_lrpid, also after the sender has died; a blocking receive.
#include <sys/ipc.h>
#include <sys/msg.h>

#include "guest.h"

struct message {
  long type;
  char text[8];
};

int main(void) {
  guest_begin();
  int id = SYS(msgget(IPC_PRIVATE, IPC_CREAT | 0600));
  struct msqid_ds status;
  SYS(msgctl(id, IPC_STAT, &status));
  CHECK_EQ(status.msg_lspid, 0);
  CHECK_EQ(status.msg_lrpid, 0);
  pid_t child = guest_fork();
  if (child == 0) {
    struct message message = {3, "hello"};
    SYS(msgsnd(id, &message, sizeof message.text, 0));
    SYS(msgrcv(id, &message, sizeof message.text, 9, 0));
    _exit(0);
  }
  struct message message;
  CHECK_EQ(msgrcv(id, &message, sizeof message.text, 3, 0), sizeof message.text);
  CHECK_STR(message.text, "hello");
  SYS(msgctl(id, IPC_STAT, &status));
  CHECK_EQ(status.msg_lspid, child);
  CHECK_EQ(status.msg_lrpid, getpid());
  message.type = 9;
  SYS(msgsnd(id, &message, sizeof message.text, 0));
  REAP(child);
  SYS(msgctl(id, IPC_STAT, &status));
  CHECK_EQ(status.msg_lspid, getpid());
  CHECK_EQ(status.msg_lrpid, child);
  CHECK_EQ(status.msg_qnum, 0);
  CHECK_ERRNO(msgrcv(id, &message, sizeof message.text, 0, IPC_NOWAIT), ENOMSG);
  SYS(msgctl(id, IPC_RMID, NULL));
  return guest_pass();
}
