"""tmux: a server driven by commands, and a client on a terminal."""

import sys

from harness import Scenario, Suite, script

# wait-for channels tell when a pane's command has come so far.
SCRIPT = r"""
exec 2>&1
unset TMUX
t() { tmux -S "$PWD/socket" -f config "$@"; }
trap 't kill-server 2> /dev/null' EXIT
t new-session -d -s main -n shell -x 80 -y 24 'PS1="pane> " exec sh -i'
# see PANE PATTERN: waits until the pane shows a line of it and prints that line.
see() { until t capture-pane -p -t "$1" | grep -E "$2"; do :; done; }
# ready PANE: waits for the prompt; a shell may throw away what is typed before.
ready() { until t capture-pane -p -t "$1" | grep . | tail -1 | grep -qx 'pane>'; do :; done; }
ready main; t send-keys -t main 'echo $((6 * 7)); stty size' Enter; see main '^42$'; see main '^24 80$'
pane=$(t display-message -p -t main '#{pane_pid}'); server=$(t display-message -p '#{pid}')
read -r pid comm state ppid pgrp session tty rest < /proc/$pane/stat; [ "$ppid" = "$server" ] && [ "$session" = "$pane" ] && echo pane is a session of its own under the server
t display-message -p -t main '#{session_name} #{window_index} #{pane_index} #{pane_width}x#{pane_height}'
t split-window -h -t main 'exec cat'; t send-keys -t main.1 'typed into cat' Enter; until t capture-pane -p -t main.1 | grep -c 'typed into cat' | grep -q 2; do :; done; t list-panes -t main -F '#{pane_index} #{pane_width}x#{pane_height}'
t send-keys -t main.1 C-d; until [ "$(t list-panes -t main | wc -l)" = 1 ]; do :; done; echo pane closed
t new-window -t main: -n second 'sh -c "echo window; tmux wait-for -S up; exec sleep 1000"'; t wait-for up; t list-windows -t main -F '#{window_name} #{window_active}'
# ^C and ^Z reach the foreground job of a pane.
ready main:0; t send-keys -t main:0 'sh -c "tmux wait-for -S running; exec sleep 1000"' Enter; t wait-for running
t send-keys -t main:0 C-c; ready main:0; t send-keys -t main:0 'echo status $?' Enter; see main:0 '^status [0-9]'
ready main:0; t resize-window -t main:0 -x 100 -y 30; t send-keys -t main:0 'until [ "$(stty size)" = "30 100" ]; do :; done; echo resized' Enter; see main:0 '^resized$'
ready main:0; t pipe-pane -t main:0 'cat > piped'; t send-keys -t main:0 'echo to the pipe; tmux wait-for -S piped' Enter; t wait-for piped; until grep -qs '^to the pipe' piped; do :; done; rm piped
t run-shell 'echo run; exit 3'; t if-shell true 'display-message -p yes' 'display-message -p no'; t set-buffer text; t show-buffer; t save-buffer saved; cat saved; rm saved
t list-sessions -F '#{session_name} #{session_windows}'; t kill-window -t main:second; t has-session -t nosuch; echo $?
t kill-server; while [ -e /proc/$server ]; do :; done; t ls 2>&1 | sed 's/ .*//'; rm -f socket
"""


def attached(terminal):
    terminal.expect("inside> ")
    terminal.send("echo from $((40 + 2))\n")
    terminal.expect("from 42")
    terminal.expect("inside> ")
    terminal.resize(30, 100)
    terminal.send("until [ \"$(stty size)\" = '29 100' ]; do :; done; echo size $(stty size)\n")
    terminal.expect("size 29 100")
    terminal.send("\x02d")
    terminal.expect("detached")
    terminal.expect("outside> ")
    terminal.send("tmux -S socket attach\n")
    terminal.expect("inside> ")
    terminal.send("exit\n")
    terminal.expect("exited")
    terminal.expect("outside> ")
    terminal.send("exit 4\n")


CONFIG = "set -g default-shell /bin/sh\nset -g status-interval 0\nset -g status-right ''\nset -sg escape-time 0\nset -g exit-empty on\nset -g automatic-rename off\n"

suite = Suite("tmux").needs("tmux", "tmux").needs("coreutils", "stty").needs("ncurses-base", "tput")
suite.add(script("server", SCRIPT, files={"config": CONFIG}, timeout=60))
suite.add(Scenario("attached", ["sh", "-i"], driver=attached, files={
    "start": "PS1='outside> '; unset ENV; tmux -S socket -f config new-session -s main \"PS1='inside> ' exec sh -i\"\n",
    "config": CONFIG}, env={"ENV": "start"})) \
    .vary(r"(?s)\A.*\Z", "", because="how tmux puts together what it draws depends on timing; the driver waits for each text")
sys.exit(suite.main())
