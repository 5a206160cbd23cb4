"""Writes a C project of many translation units: an interpreter of small stack programs, its operations spread over files."""

import os

MAKEFILE = """\
CFLAGS = -O1 -Wall -MMD -MP
OBJECTS = $(patsubst src/%.c,obj/%.o,$(wildcard src/*.c))
all: interpreter libops.a
interpreter: $(OBJECTS)
\t$(CC) -o $@ $^
libops.a: $(filter obj/op%,$(OBJECTS))
\tar rcD $@ $^
obj/%.o: src/%.c | obj
\t$(CC) $(CFLAGS) -Iinclude -c -o $@ $<
obj:
\tmkdir obj
check: interpreter
\t./interpreter 1000
clean:
\trm -rf obj interpreter libops.a
-include $(OBJECTS:.o=.d)
.PHONY: all check clean
"""

HEADER = """\
#ifndef VM_H
#define VM_H
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
struct vm {
  uint64_t stack[256];
  size_t depth;
  uint64_t steps;
};
static inline void vm_push(struct vm *vm, uint64_t value) {
  if (vm->depth == sizeof vm->stack / sizeof vm->stack[0]) {
    fprintf(stderr, "stack overflow after %llu steps\\n", (unsigned long long)vm->steps);
    exit(2);
  }
  vm->stack[vm->depth++] = value;
}
static inline uint64_t vm_pop(struct vm *vm) {
  if (vm->depth == 0) {
    fprintf(stderr, "stack underflow after %llu steps\\n", (unsigned long long)vm->steps);
    exit(2);
  }
  return vm->stack[--vm->depth];
}
typedef void (*operation)(struct vm *);
struct entry {
  const char *name;
  operation run;
};
#endif
"""


def unit(number, functions):
    """One translation unit with the operations op<number>_0 ..., each of realistic size."""
    lines = ['#include "vm.h"', '#include "ops.h"', "", f"static const uint64_t kSalt = {number * 2654435761 % 2**32}u;",
             ""]
    for index in range(functions):
        lines += [
            f"static uint64_t mix{index}(uint64_t a, uint64_t b) {{",
            "  uint64_t h = a * 0x9E3779B97F4A7C15ull + kSalt;",
            f"  for (int round = 0; round < {3 + (number + index) % 5}; round++) {{",
            f"    h ^= h >> {11 + index % 9};",
            f"    h += b << (round % {5 + index % 7});",
            f"    if ((h & 3) == {index % 4}) {{",
            f"      h = (h << {7 + number % 11}) | (h >> {57 - number % 11});",
            "    } else {",
            "      b = b * 31 + (uint64_t)round;",
            "    }",
            "  }",
            "  return h;",
            "}",
            "",
            f"void op{number}_{index}(struct vm *vm) {{",
            "  uint64_t a = vm_pop(vm), b = vm_pop(vm);",
            "  char text[64];",
            f'  int length = snprintf(text, sizeof text, "%llu:%llu:{index}", (unsigned long long)a, (unsigned long long)b);',
            "  uint64_t sum = 0;",
            "  for (int i = 0; i < length; i++) {",
            f"    switch (text[i] % {4 + index % 3}) {{",
            "      case 0: sum += (uint64_t)text[i]; break;",
            f"      case 1: sum ^= mix{index}(sum, (uint64_t)i); break;",
            "      case 2: sum = sum * 33 + (uint64_t)text[i]; break;",
            "      default: sum -= (uint64_t)i; break;",
            "    }",
            "  }",
            "  vm->steps++;",
            f"  vm_push(vm, mix{index}(a, sum));",
            f"  vm_push(vm, mix{index}(b, sum ^ {number}));",
            "}",
            "",
        ]
    return "\n".join(lines)


def write(directory, files=50, functions=6):
    """Writes the project of so many units into the directory, with a Makefile."""
    os.makedirs(os.path.join(directory, "src"))
    os.makedirs(os.path.join(directory, "include"))
    names = [f"op{n}_{i}" for n in range(files) for i in range(functions)]
    contents = {
        "Makefile": MAKEFILE,
        "include/vm.h": HEADER,
        "include/ops.h": '#ifndef OPS_H\n#define OPS_H\n#include "vm.h"\n'
                         + "".join(f"void {name}(struct vm *);\n" for name in names)
                         + "extern const struct entry kOperations[];\nextern const size_t kOperationCount;\n#endif\n",
        "src/table.c": '#include "ops.h"\nconst struct entry kOperations[] = {\n'
                       + "".join(f'    {{"{name}", {name}}},\n' for name in names)
                       + "};\nconst size_t kOperationCount = sizeof kOperations / sizeof kOperations[0];\n",
        "src/main.c": '#include "ops.h"\nint main(int argc, char **argv) {\n'
                      "  long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 1;\n  struct vm vm = {.depth = 0};\n"
                      "  vm_push(&vm, 1);\n  vm_push(&vm, 2);\n"
                      "  for (long i = 0; i < rounds; i++) {\n"
                      "    kOperations[(size_t)i * 7 % kOperationCount].run(&vm);\n  }\n"
                      '  printf("%016llx %016llx after %llu steps, last %s\\n", (unsigned long long)vm.stack[0],\n'
                      "         (unsigned long long)vm.stack[1], (unsigned long long)vm.steps,\n"
                      "         kOperations[(size_t)(rounds - 1) * 7 % kOperationCount].name);\n  return 0;\n}\n",
    }
    for number in range(files):
        contents[f"src/op{number}.c"] = unit(number, functions)
    for name, text in contents.items():
        with open(os.path.join(directory, name), "w") as file:
            file.write(text)
