/* The code of the agent, and the bytes of Beam's vDSO, as data of the supervisor. */
#include "interpose/agent/layout.h"

        .section .rodata
        .globl beam_agent_code
        .globl beam_agent_code_end
        .balign 16
beam_agent_code:
        /* BEAM_AGENT_GADGET */
        syscall
        int3
        .balign 16, 0xcc
        /* BEAM_AGENT_START: the registers are those that execve(2) left, all 0 but the stack pointer (ELF_PLAT_INIT). */
        movl $10, %eax /* mprotect(BASE, size, PROT_READ | PROT_EXEC) */
        movl $BEAM_AGENT_BASE, %edi
        movl $(BEAM_AGENT_END - BEAM_AGENT_BASE), %esi
        movl $5, %edx
        syscall
        movl $462, %eax /* mseal: ENOSYS before 6.10, which is fine */
        xorl %edx, %edx
        syscall
        xorl %eax, %eax
        xorl %ecx, %ecx
        xorl %edi, %edi
        xorl %esi, %esi
        xorl %r11d, %r11d
        jmpq *BEAM_AGENT_DATA_ENTRY
#include "interpose/agent/pi_futex.S"
        .org beam_agent_code + (BEAM_AGENT_BATCH - BEAM_AGENT_CODE), 0xcc
1:      testq %rbp, %rbp
        je 2f
        movq (%rbx), %rax
        movq 8(%rbx), %rdi
        movq 16(%rbx), %rsi
        movq 24(%rbx), %rdx
        movq 32(%rbx), %r10
        movq 40(%rbx), %r8
        movq 48(%rbx), %r9
        syscall
        movq %rax, 56(%rbx)
        addq $64, %rbx
        decq %rbp
        jmp 1b
2:      int3
        .org beam_agent_code + (BEAM_AGENT_REPORT - BEAM_AGENT_CODE), 0xcc
beam_agent_report:
        syscall
        int3
beam_agent_code_end:

        .globl beam_vdso_image
        .globl beam_vdso_image_end
        .balign 16
beam_vdso_image:
        .incbin BEAM_VDSO_FILE
beam_vdso_image_end:

        .section .note.GNU-stack,"",@progbits
