# killall, pstree and fuser of psmisc inside: by name, only within, with the tree as the sandbox has it.
set -u
fail() {
  echo "FAIL tool_killall.sh $*"
  exit 1
}
command -v killall >/dev/null || fail "killall is missing: install the Debian package psmisc"
command -v pstree >/dev/null || fail "pstree is missing: install the Debian package psmisc"
name=k$$y
cp /bin/sleep "$name" || exit 1
"./$name" 1000 &
first=$!
"./$name" 1001 &
second=$!
while [ "$(cat "/proc/$first/comm")" != "$name" ] || [ "$(cat "/proc/$second/comm")" != "$name" ]; do :; done
tree=$(pstree -p $$) || fail "pstree fails"
case $tree in
  *"$name($first)"*) ;;
  *) fail "pstree lacks $name($first): $tree" ;;
esac
case $tree in
  *"$name($second)"*) ;;
  *) fail "pstree lacks $name($second): $tree" ;;
esac
if [ "$BEAM_GUEST" = beam ]; then
  tree=$(pstree -p) || fail "pstree of pid 1 fails"
  case $tree in
    *"(1)"*"$name($first)"*) ;;
    *) fail "pstree from pid 1 lacks $name($first): $tree" ;;
  esac
fi
killall "$name" || fail "killall finds nothing"
wait "$first"
[ $? = 143 ] || fail "killall did not end $first by SIGTERM"
wait "$second"
[ $? = 143 ] || fail "killall did not end $second by SIGTERM"
killall -q "$name" && fail "killall finds what has ended"
echo PASS
