// Scripts: the #! line's interpreter and one argument, a chain of them, a script without one, and too deep a chain.
#include "guest.h"

static int run(const char* path) {
  pid_t child = guest_fork();
  if (child == 0) {
    execl(path, "zero", "first", "second", (char*)NULL);
    _exit(200 + (errno == ENOEXEC ? 1 : errno == ELOOP ? 2 : errno == EACCES ? 3 : errno == ENOENT ? 4 : 9));
  }
  int status = guest_status(child);
  CHECK(WIFEXITED(status));
  return WEXITSTATUS(status);
}

int main(int argc, char** argv) {
  guest_begin();
  if (argc > 1 && strcmp(argv[1], "with arg") == 0) {
    // As an interpreter: #! argument, path of the script, then the caller's arguments without its argv[0].
    CHECK_EQ(argc, 5);
    CHECK(strstr(argv[2], "script"));
    CHECK_STR(argv[3], "first");
    CHECK_STR(argv[4], "second");
    return 61;
  }
  char self[PATH_MAX] = "", text[PATH_MAX + 64];
  SYS(readlink("/proc/self/exe", self, sizeof self - 1));

  snprintf(text, sizeof text, "#!%s  with arg \n", self);
  write_file("script", text, 0755);
  CHECK_EQ(run("./script"), 61);

  write_file("shell", "#!/bin/sh\n[ \"$0\" = ./shell ] && [ \"$1\" = first ] && [ $# = 2 ] && exit 62\nexit 1\n", 0755);
  CHECK_EQ(run("./shell"), 62);

  // The shell sees its own pid and its parent's.
  snprintf(text, sizeof text,
           "#!/bin/sh\n[ $PPID = %d ] || exit 1\n[ \"$(readlink /proc/self)\" ] || exit 2\nexec ./pid2 $$\n", getpid());
  write_file("pid", text, 0755);
  write_file("pid2", "#!/bin/sh\n[ $$ = $1 ] && exit 63\nexit 3\n", 0755);
  CHECK_EQ(run("./pid"), 63);

  // A script as interpreter of a script, up to the kernel's limit of five.
  write_file("chain1", "#!./shell2 x\n", 0755);
  write_file("shell2", "#!/bin/sh\n[ \"$1\" = x ] && [ \"$2\" = ./chain1 ] && [ \"$3\" = first ] && exit 64\nexit 1\n",
             0755);
  CHECK_EQ(run("./chain1"), 64);
  write_file("loop", "#!./loop\n", 0755);
  CHECK_EQ(run("./loop"), 202);

  write_file("plain", "exit 65\n", 0755);
  CHECK_EQ(run("./plain"), 201);
  write_file("empty", "", 0755);
  CHECK_EQ(run("./empty"), 201);
  write_file("missing", "#!/nonexistent/interpreter\n", 0755);
  CHECK_EQ(run("./missing"), 204);
  write_file("noexec", "#!./plain_data\n", 0755);
  write_file("plain_data", "data\n", 0644);
  CHECK_EQ(run("./noexec"), 203);
  return guest_pass();
}
