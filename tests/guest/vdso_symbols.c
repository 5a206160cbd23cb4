// AT_SYSINFO_EHDR names an ELF image whose LINUX_2.6 symbols are those of the kernel, in a mapping called [vdso].
#include "vdso.h"

int main(void) {
  guest_begin();
  const char* const names[] = {"__vdso_clock_gettime", "__vdso_gettimeofday", "__vdso_time", "__vdso_getcpu",
                               "__vdso_clock_getres",  "clock_gettime",       "gettimeofday"};
  for (unsigned i = 0; i < sizeof names / sizeof names[0]; ++i) {
    if (!vdso_find(names[i], "LINUX_2.6")) {
      FAIL("%s of LINUX_2.6 is not in the vDSO", names[i]);
    }
  }
  CHECK(!vdso_find("__vdso_clock_gettime", "LINUX_9.9"));
  CHECK(!vdso_find("no_such_function", "LINUX_2.6"));

  // The mapping can be read and run, not written, and gdb and perf find it by its name or its address.
  FILE* file = fopen("/proc/self/maps", "re");
  CHECK(file);
  char line[512];
  bool found = false;
  while (fgets(line, sizeof line, file)) {
    unsigned long start, end;
    char permissions[8];
    CHECK_EQ(sscanf(line, "%lx-%lx %7s", &start, &end, permissions), 3);
    if (getauxval(AT_SYSINFO_EHDR) >= start && getauxval(AT_SYSINFO_EHDR) < end) {
      CHECK_EQ(permissions[0], 'r');
      CHECK_EQ(permissions[1], '-');
      found = true;
    }
  }
  fclose(file);
  CHECK(found);
  return guest_pass();
}
