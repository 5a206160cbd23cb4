/* Priority inheritance futexes in user space (interpose/pi_futex.h). The kernel's own compare the word with the caller's
 * real tid; programs keep virtual ones there. So the word is changed here, by the thread itself, and it waits and wakes as
 * on any futex.
 *
 * Entered by the event thread, which has put the caller's registers aside; every register but the stack pointer is free:
 *   rdi  the word              r10  deadline, or 0       ebx  the caller's virtual tid
 *   ebp  FUTEX_WAIT_BITSET or FUTEX_WAKE, with the flags of the call      r9d  all bits
 *   r12d 0, or FUTEX_WAITERS once the thread has waited: others may wait still, so it takes the word with their bit
 *   r14d not 0: try only       r15  the lock of FUTEX_WAIT_REQUEUE_PI, whose condition is at rdi with the value edx
 * Leaves with the result in r13d at BEAM_AGENT_REPORT.
 *
 * A thread may be taken out of it at any instruction: from where its registers say that the word is not its own yet, back
 * to its call; else behind it. The labels mark where that changes. Nothing here is done twice by going back. */
#define PI_TID $0x3fffffff
#define PI_WAITERS $0x80000000
#define PI_FUTEX $202

        .globl beam_pi_requeue, beam_pi_requeue_waited, beam_pi_lock, beam_pi_lock_tried, beam_pi_held, beam_pi_waited
        .globl beam_pi_unlock, beam_pi_unlock_tried, beam_pi_woken, beam_pi_refused, beam_pi_result
beam_pi_requeue:
        movl %ebp, %esi
        movl PI_FUTEX, %eax
        syscall
beam_pi_requeue_waited:
        testl %eax, %eax
        jne beam_pi_result
        movq %r15, %rdi
        movl PI_WAITERS, %r12d
beam_pi_lock:
        movl (%rdi), %eax
1:      testl PI_TID, %eax
        jne beam_pi_held
        movl %eax, %ecx /* FUTEX_OWNER_DIED stays for the new owner to see */
        orl %ebx, %ecx
        orl %r12d, %ecx
        lock cmpxchgl %ecx, (%rdi)
beam_pi_lock_tried:
        jne 1b
        xorl %eax, %eax
        jmp beam_pi_result
beam_pi_held:
        movl %eax, %edx
        andl PI_TID, %edx
        cmpl %ebx, %edx
        movl $-35, %ecx /* EDEADLK */
        je 3f
        movl $-11, %ecx /* EAGAIN */
        testl %r14d, %r14d
        jne 3f
        movl %eax, %edx
        orl PI_WAITERS, %edx
        cmpl %eax, %edx
        je 2f
        lock cmpxchgl %edx, (%rdi)
        jne 1b
2:      movl %ebp, %esi
        movl PI_FUTEX, %eax
        syscall
beam_pi_waited:
        movl PI_WAITERS, %r12d
        movl %eax, %ecx
        testl %eax, %eax
        je beam_pi_lock
        cmpl $-11, %eax /* EAGAIN: the word had changed */
        je beam_pi_lock
        cmpl $-4, %eax /* EINTR */
        je beam_pi_lock
3:      movl %ecx, %eax
        jmp beam_pi_result

beam_pi_unlock:
        movl (%rdi), %eax
4:      movl %eax, %edx
        andl PI_TID, %edx
        cmpl %ebx, %edx
        jne beam_pi_refused
        xorl %ecx, %ecx
        lock cmpxchgl %ecx, (%rdi)
beam_pi_unlock_tried:
        jne 4b
        testl PI_WAITERS, %eax
        je 5f
        movl %ebp, %esi
        movl $1, %edx
        movl PI_FUTEX, %eax
        syscall
beam_pi_woken:
5:      xorl %eax, %eax
        jmp beam_pi_result
beam_pi_refused:
        movl $-1, %eax /* EPERM */
beam_pi_result:
        movl %eax, %r13d
        movl PI_FUTEX, %eax
        movl $6, %esi /* FUTEX_LOCK_PI: one that the filter traps */
        jmp beam_agent_report
