"""vim: scripted edits, filters, jobs, and a user at a terminal."""

import sys

from harness import Scenario, Suite, script

EDIT = r"""set nocompatible
edit text
%s/line/LINE/g
2,3delete
normal! ggOfirst
normal! Goappended by vim
global/5/move 0
%!sort -r
read !echo from the shell
call setline(1, 'pid is that of /proc: ' . (getpid() == resolve('/proc/self')[6:]))
call append('$', systemlist('printf "a\nb\n"'))
call append('$', 'shell error ' . [system('exit 3'), v:shell_error][1])
silent !true
let job = job_start(['sh', '-c', 'read x; echo "job got $x"; exit 7'], {'out_io': 'buffer', 'out_name': 'out'})
call ch_sendraw(job, "input\n")
while job_status(job) ==# 'run' | sleep 1m | endwhile
call append('$', 'job ' . job_info(job).exitval . ' ' . job_status(job))
while getbufline('out', 1, '$')[-1] !=# 'job got input' | sleep 1m | endwhile
let sleeper = job_start(['sleep', '1000'])
call append('$', 'child ' . (readfile('/proc/' . job_info(sleeper).process . '/stat')[0] =~# ') . ' . getpid() . ' '))
call job_stop(sleeper, 'kill')
while job_status(sleeper) ==# 'run' | sleep 1m | endwhile
call append('$', job_info(sleeper).termsig)
write! result
vimgrep /LINE/ result
let &errorformat = '%f:%l'
2 | normal! qaA!
recover-not-a-command
wqall!
"""

SCRIPT = r"""
seq 12 | sed 's/^/line /' > text
vim -u NONE -i NONE -es -S edit.vim < /dev/null; echo $?
cat result
vim -u NONE -i NONE -es -c 'edit text' -c 'preserve' -c 'cquit 5' < /dev/null; echo $?
printf 'x\ny\n' | vim -u NONE -i NONE -es -c '%print' -c 'q!' /dev/stdin; ls -A
ex -u NONE -i NONE -s text << 'END'
1,2join
wq
END
head -1 text; vimdiff -u NONE -i NONE -es -c 'TOhtml' -c 'qa!' text result < /dev/null; echo $?
"""


def typed(terminal):
    terminal.expect("All")
    terminal.send("ihello from a terminal\x1b")
    terminal.send(":w\r")
    terminal.expect("written")
    terminal.send("yypA again\x1b:w\r")
    terminal.expect("written")
    terminal.resize(40, 120)
    terminal.send("\x0c")  # a SIGWINCH just before its poll is left until the next key
    # Draws the status line where it is now, and shows the cursor again when it is done; it loses what is typed before.
    terminal.expect(r"\x1b\[39;\d+H[\s\S]*?\x1b\[\?25h")
    terminal.send(":call writefile([&lines . 'x' . &columns], 'size')\r:r size\r")
    terminal.expect("40x120")
    terminal.send(":!echo shell; tty > /dev/null && echo tty\r")
    terminal.expect("tty\r\n")
    terminal.expect("ENTER")
    terminal.send("\r")
    # The end of the job on a pseudo-terminal of vim's own ends vim.
    terminal.send(":call term_start(['sh', '-c', 'echo in a pty; exec cat'], {'exit_cb': {j, s -> execute('qall!')}})\r")
    terminal.expect("in a pty")
    terminal.send("echoed\r")
    terminal.expect("echoed")
    terminal.send("\x04")


suite = Suite("vim").needs("vim", "vim", "ex")
suite.add(script("scripted", SCRIPT, files={"edit.vim": EDIT}))
suite.add(Scenario("terminal", ["vim", "-u", "NONE", "-i", "NONE", "-N", "--cmd", "set ruler laststatus=2", "new"], driver=typed)) \
    .vary(r"(?s)\A.*(?=\nsettings)", "", because="what vim redraws depends on how the typing arrives; the driver waits for each text")
sys.exit(suite.main())
