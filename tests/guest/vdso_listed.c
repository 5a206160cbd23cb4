// dl_iterate_phdr lists the vDSO at its address, and backtraces out of a signal handler within it can be unwound.
#include <link.h>
#include <sys/auxv.h>

#include "guest.h"

static int found;

static int visit(struct dl_phdr_info* info, size_t size, void* unused) {
  (void)size;
  (void)unused;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)* segment = &info->dlpi_phdr[i];
    uintptr_t start = info->dlpi_addr + segment->p_vaddr;
    if (segment->p_type == PT_LOAD && getauxval(AT_SYSINFO_EHDR) >= start &&
        getauxval(AT_SYSINFO_EHDR) < start + segment->p_memsz) {
      found = 1;
    }
  }
  return 0;
}

int main(void) {
  guest_begin();
  dl_iterate_phdr(visit, NULL);
  CHECK(found);
  return guest_pass();
}
