#!/bin/sh
# Runs the C driver with plugins loaded under AddressSanitizer and ThreadSanitizer, all of Lamina built with them:
#   sh Tests/sanitizers.sh [address] [thread] [-- PLUGIN.c KIND]
# Builds into .build/address and .build/thread, in debug; SWIFT names the compiler, JOBS how many of it run at once.
# A report of a sanitizer ends the script with its text.
set -eu
cd "$(dirname "$0")/.."
swift=$(command -v "${SWIFT:-swift}")
clang=$(dirname "$(realpath "$swift")")/clang
# ThreadSanitizer's own runtime needs libdispatch.
runtime=$(dirname "$clang")/../lib/swift/linux
kinds=
while [ $# -gt 0 ] && [ "$1" != -- ]; do kinds="$kinds $1"; shift; done
[ $# -eq 0 ] || shift
plugin=${1:-plugins/mish-c/mish.c}
layer=${2:-com.example.mish}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# What Swift's Mutex guards looks unguarded: the Mutex itself is in a library that is not built with the sanitizer.
echo 'race:LaminaPlugins9PluginLogC' >"$work/suppressions"

for kind in ${kinds:-address thread}; do
  "$swift" build --sanitize="$kind" --scratch-path ".build/$kind" --product lamina-c \
    ${JOBS:+--jobs "$JOBS"}
  folder=$("$swift" build --sanitize="$kind" --scratch-path ".build/$kind" --show-bin-path)
  flags="-fsanitize=$kind -g -O1 -Iinclude"
  # shellcheck disable=SC2086
  "$clang" $flags -std=c11 -Wall Tests/plugin-driver.c -o "$work/driver" "$folder/liblamina-c.so" \
    -Wl,-rpath,"$folder" -L"$runtime" -Wl,-rpath,"$runtime" -ldispatch -lBlocksRuntime -lpthread
  # shellcheck disable=SC2086
  "$clang" $flags -fPIC -shared "$plugin" -o "$work/plugin.so" -lm
  # Lamina's handles and plugins live until the process ends, which is no leak; a probe forks while threads run.
  status=0
  XDG_CACHE_HOME="$work/cache-$kind" \
    ASAN_OPTIONS=detect_leaks=0:halt_on_error=1:exitcode=66 \
    TSAN_OPTIONS=halt_on_error=0:exitcode=66:die_after_fork=0:suppressions=$work/suppressions \
    "$work/driver" "$work/plugin.so" "$layer" 1000 2>"$work/report" || status=$?
  count=$(grep -c 'Sanitizer: ' "$work/report" || true)
  cat "$work/report" >&2
  echo "$kind: $count reports, exit status $status"
  [ "$status" = 0 ] && [ "$count" = 0 ] || exit 1
done
