// The vDSO that AT_SYSINFO_EHDR names, as a C library looks it up.
#pragma once
#include <elf.h>
#include <sys/auxv.h>
#include <sys/time.h>

#include "guest.h"

// Address of a function of this version; NULL when the table has none.
__attribute__((unused)) static void* vdso_find(const char* name, const char* version) {
  const char* base = (const char*)getauxval(AT_SYSINFO_EHDR);
  CHECK(base);
  const Elf64_Ehdr* header = (const Elf64_Ehdr*)base;
  CHECK_EQ(memcmp(header->e_ident, ELFMAG, SELFMAG), 0);
  CHECK_EQ(header->e_machine, EM_X86_64);
  CHECK_EQ(header->e_type, ET_DYN);
  const Elf64_Phdr* segments = (const Elf64_Phdr*)(base + header->e_phoff);
  uintptr_t bias = 0;
  const Elf64_Dyn* dynamic = NULL;
  for (int i = 0; i < header->e_phnum; ++i) {
    if (segments[i].p_type == PT_LOAD && !bias) {
      bias = (uintptr_t)base + segments[i].p_offset - segments[i].p_vaddr;
    } else if (segments[i].p_type == PT_DYNAMIC) {
      dynamic = (const Elf64_Dyn*)(base + segments[i].p_offset);
    }
  }
  CHECK(bias && dynamic);
  const char* strings = NULL;
  const Elf64_Sym* symbols = NULL;
  const uint32_t *hash = NULL, *gnu_hash = NULL;
  const uint16_t* versions = NULL;
  const Elf64_Verdef* definitions = NULL;
  for (; dynamic->d_tag != DT_NULL; ++dynamic) {
    const void* target = (const void*)(bias + dynamic->d_un.d_ptr);
    switch (dynamic->d_tag) {
      case DT_STRTAB:
        strings = target;
        break;
      case DT_SYMTAB:
        symbols = target;
        break;
      case DT_HASH:
        hash = target;
        break;
      case DT_GNU_HASH:
        gnu_hash = target;
        break;
      case DT_VERSYM:
        versions = target;
        break;
      case DT_VERDEF:
        definitions = target;
        break;
      default:
        break;
    }
  }
  CHECK(strings && symbols && versions && definitions);
  CHECK(hash || gnu_hash);
  uint32_t count = 0;
  if (hash) {
    count = hash[1];
  } else {
    // The last bucket's chain ends with the last symbol.
    uint32_t buckets = gnu_hash[0], first = gnu_hash[1], bloom = gnu_hash[2];
    const uint32_t* bucket = gnu_hash + 4 + bloom * 2;
    const uint32_t* chain = bucket + buckets;
    for (uint32_t i = 0; i < buckets; ++i) {
      if (bucket[i] >= count) {
        count = bucket[i];
      }
    }
    while (!(chain[count - first] & 1)) {
      ++count;
    }
    ++count;
  }
  for (uint32_t i = 0; i < count; ++i) {
    if (symbols[i].st_shndx == SHN_UNDEF || strcmp(strings + symbols[i].st_name, name) != 0) {
      continue;
    }
    const Elf64_Verdef* definition = definitions;
    for (;;) {
      if ((definition->vd_ndx & 0x7fff) == (versions[i] & 0x7fff)) {
        const Elf64_Verdaux* auxiliary = (const Elf64_Verdaux*)((const char*)definition + definition->vd_aux);
        if (strcmp(strings + auxiliary->vda_name, version) == 0) {
          return (void*)(bias + symbols[i].st_value);
        }
      }
      if (definition->vd_next == 0) {
        break;
      }
      definition = (const Elf64_Verdef*)((const char*)definition + definition->vd_next);
    }
  }
  return NULL;
}
