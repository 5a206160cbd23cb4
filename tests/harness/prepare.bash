# Sourced by what has to start on a fresh machine: prepare SECTION... installs the packages of these sections of
# .ci/packages, makes the user that tests run as, and builds. Afterwards $source and $build are trees that this user can
# read: the ones here, or copies when these are private. $sanitize (may be empty) chooses an instrumented build.
# shellcheck shell=bash
umask 022
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
source=$PWD
sanitize=${sanitize-}
build=$PWD/build${sanitize:+-$sanitize}
test_user=beam-test

# Prints the first thing below the given folder that the test user can't read, or why it can't look.
unreadable() {
  setpriv --reuid="$test_user" --regid="$test_user" --init-groups --inh-caps=-all --bounding-set=-all --no-new-privs -- \
    find "$1" -path "$1/.git" -prune -o -path "$1/build*" -prune -o ! -readable -print -quit 2>&1 | head -n 1 || true
}

prepare() {
  .ci/deps "$@"

  if [ "$(id -u)" = 0 ]; then
    if ! id "$test_user" >/dev/null 2>&1; then
      useradd --system --user-group --create-home --home-dir /var/lib/beam-test --shell /bin/bash "$test_user"
    fi
    local obstacle stage
    obstacle=$(unreadable "$source")
    if [ -n "$obstacle" ]; then
      stage=/var/cache/beam-test/$(printf '%s' "$source" | cksum | cut -d' ' -f1)
      echo "user $test_user can't read $obstacle; building a copy in $stage"
      mkdir -p "$stage/source"
      tests/harness/stage "$source" "$stage/source"
      build=$stage/$(basename "$build")
      source=$stage/source
    fi
  fi

  mkdir -p "$build"
  cmake -S "$source" -B "$build" -G Ninja -DBEAM_SANITIZE="$sanitize" >"$build/configure.log" 2>&1 ||
    { cat "$build/configure.log" >&2; return 1; }
  cmake --build "$build"
  [ "$(id -u)" != 0 ] || chmod -R a+rX "$build" # an earlier build may have had another umask
}
