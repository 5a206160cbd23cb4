// UNIX sockets with names: absolute and relative paths, abstract, chosen by the kernel; accepted connections; a name whose
// file is gone; the file's mode.
#include "sock.h"

int main(void) {
  guest_begin();
  char absolute[100];
  CHECK(getcwd(absolute, 80) != NULL);
  strcat(absolute, "/absolute");
  char abstract[40];
  snprintf(abstract, sizeof abstract, "@beam guest %ld", (long)now_ns());
  const char* names[] = {absolute, "relative", abstract};
  int listeners[3], clients[3], servers[3], plain[3];
  for (int i = 0; i < 3; ++i) {
    int type = i == 1 ? SOCK_SEQPACKET : SOCK_STREAM;
    listeners[i] = un_bound(type, names[i]);
    SYS(listen(listeners[i], 7));
    clients[i] = un_client(type, names[i]);
    servers[i] = SYS(accept(listeners[i], NULL, NULL));
    put(clients[i], "to server");
    put(servers[i], "to client");
    plain[i] = SYS(socket(AF_UNIX, type, 0));
  }
  SYS(chmod("relative", 0640));
  // Bound client; the name of the peer shows it.
  int bound = un_bound(SOCK_STREAM, "client");
  SYS(un_connect(bound, absolute));
  int from_bound = SYS(accept(listeners[0], NULL, NULL));
  // Bound only.
  int unused = un_bound(SOCK_STREAM, "unused");
  // The name was taken over by another socket.
  int old = un_bound(SOCK_STREAM, "replaced");
  SYS(listen(old, 1));
  int old_client = un_client(SOCK_STREAM, "replaced");
  int old_server = SYS(accept(old, NULL, NULL));
  SYS(unlink("replaced"));
  int fresh = un_bound(SOCK_STREAM, "replaced");
  SYS(listen(fresh, 1));
  // Listener and name gone, the connection is still there.
  int gone = un_bound(SOCK_STREAM, "gone");
  SYS(listen(gone, 1));
  int gone_client = un_client(SOCK_STREAM, "gone");
  int gone_server = SYS(accept(gone, NULL, NULL));
  close(gone);
  SYS(unlink("gone"));
  // Autobind: five digits of the kernel's choice.
  int chosen = SYS(socket(AF_UNIX, SOCK_DGRAM, 0));
  struct sockaddr_un short_name = {.sun_family = AF_UNIX}, own, again;
  SYS(bind(chosen, (struct sockaddr*)&short_name, sizeof(sa_family_t)));
  socklen_t size = sizeof own, size_again = sizeof again;
  SYS(getsockname(chosen, (struct sockaddr*)&own, &size));
  CHECK_EQ(size, sizeof(sa_family_t) + 6);
  for (int round = 0; round < 2; ++round) {
    guest_fence();
    for (int i = 0; i < 3; ++i) {
      un_check_own(listeners[i], names[i]);
      CHECK_EQ(option_of(listeners[i], SOL_SOCKET, SO_ACCEPTCONN), 1);
      un_check_own(servers[i], names[i]);
      un_check_peer(servers[i], "");
      un_check_own(clients[i], "");
      un_check_peer(clients[i], names[i]);
      if (round == 0) {
        take(servers[i], "to server");
        take(clients[i], "to client");
      }
      put(clients[i], "more");
      take(servers[i], "more");
      // New ones are welcome.
      int type = option_of(listeners[i], SOL_SOCKET, SO_TYPE);
      int client = un_client(type, names[i]);
      int server = SYS(accept(listeners[i], NULL, NULL));
      put(server, "hello");
      take(client, "hello");
      close(client);
      close(server);
      CHECK_EQ(option_of(plain[i], SOL_SOCKET, SO_TYPE), type);
      CHECK_ERRNO(send(plain[i], "x", 1, MSG_NOSIGNAL), ENOTCONN);
    }
    un_check_own(bound, "client");
    un_check_peer(bound, absolute);
    un_check_own(from_bound, absolute);
    un_check_peer(from_bound, "client");
    put(bound, "b");
    take(from_bound, "b");
    un_check_own(unused, "unused");
    int nobody = SYS(socket(AF_UNIX, SOCK_STREAM, 0));
    CHECK_ERRNO(un_connect(nobody, "unused"), ECONNREFUSED);
    close(nobody);
    struct stat info;
    SYS(stat("relative", &info));
    CHECK(S_ISSOCK(info.st_mode));
    CHECK_EQ(info.st_mode & 0777, 0640);
    un_check_own(old, "replaced");
    un_check_own(old_server, "replaced");
    un_check_peer(old_client, "replaced");
    put(old_client, "old");
    take(old_server, "old");
    int client = un_client(SOCK_STREAM, "replaced");
    int server = SYS(accept(fresh, NULL, NULL));
    put(client, "fresh");
    take(server, "fresh");
    close(client);
    close(server);
    CHECK_ERRNO(access("gone", F_OK), ENOENT);
    un_check_own(gone_server, "gone");
    un_check_peer(gone_client, "gone");
    put(gone_server, "g");
    take(gone_client, "g");
    SYS(getsockname(chosen, (struct sockaddr*)&again, &size_again));
    CHECK_EQ(size_again, size);
    CHECK_EQ(memcmp(&own, &again, size), 0);
    CHECK_EQ(sendto(plain[0], "", 0, 0, NULL, 0), -1);
  }
  // The names are free again when their sockets are closed.
  close(unused);
  SYS(unlink("unused"));
  close(un_bound(SOCK_STREAM, "unused"));
  return guest_pass();
}
