#!/bin/sh
# Links the library to install from the package's release objects, with the Swift runtime inside:
#   link.sh DIRECTORY  makes DIRECTORY/liblamina.so.0.1, the link liblamina.so and the archive liblamina.a
# With PICTURES=static in the environment the picture libraries are inside as well, and there is no archive.
# SwiftPM's own dynamic product needs the toolchain's runtime beside it and shows every symbol.
set -eu
swift=${SWIFT:-swift}
mkdir -p "$1"
directory=$(cd "$1" && pwd)
cd "$(dirname "$0")/../.."
# A program runs with every library of its series: of 0.x, all with the same x.
series=$(sed -n 's/^#define LAMINA_VERSION_M[A-Z]* //p' include/lamina/lamina.h | paste -sd.)
output=$directory/liblamina.so.$series
"$swift" build -c release --product lamina-c
objects=$("$swift" build -c release --show-bin-path)/lamina-c.product/Objects.LinkFileList
pictures=$(pkg-config --libs libjpeg libpng zlib)
if [ "${PICTURES:-}" = static ]; then
  # Where the linker looks first are only archives. Their objects are made for programs, so that `stderr` must be a
  # variable of the library.
  mkdir -p "$directory/archives"
  for name in jpeg png16 z; do ln -sf "$(cc -print-file-name=lib$name.a)" "$directory/archives"; done
  echo 'extern void *__real_stderr;
    __attribute__((visibility("hidden"))) void *__wrap_stderr;
    __attribute__((constructor)) static void set(void) { __wrap_stderr = __real_stderr; }' |
    cc -fPIC -x c -c - -o "$directory/archives/stderr.o"
  pictures="$directory/archives/stderr.o -Xlinker --wrap=stderr -L$directory/archives $pictures"
fi
# nodelete: Swift code cannot be unloaded.
# shellcheck disable=SC2046
"${swift}c" -emit-library -static-stdlib -use-ld=lld -o "$output" "@$objects" \
  -Xlinker --version-script=Sources/LaminaC/liblamina.map -Xlinker --gc-sections \
  -Xlinker --strip-all -Xlinker -soname="liblamina.so.$series" -Xlinker -z -Xlinker defs \
  -Xlinker -z -Xlinker nodelete $pictures
ln -sf "liblamina.so.$series" "$directory/liblamina.so"

# It exports what the headers declare, and needs nothing that a C program does not have.
exported=$(nm -D --defined-only "$output" | awk '{ print $3 }' | sort)
declared=$(grep -oh '\blamina_[a-z_]*(' include/lamina/lamina.h include/lamina/lamina_training.h | tr -d '(' | sort -u)
if [ "$exported" != "$declared" ]; then
  echo "$output does not export what the headers declare:" >&2
  printf '%s\n%s\n' "$exported" "$declared" | sort | uniq -u >&2
  exit 1
fi
unexpected=$(readelf -d "$output" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' |
  grep -Ev '^(lib(c|m|stdc\+\+|gcc_s|jpeg|png16|z)\.so|ld-linux)' || true)
if [ -n "$unexpected" ]; then
  echo "$output needs $unexpected" >&2
  exit 1
fi
[ "${PICTURES:-}" != static ] || exit 0

# The archive for plain `cc` holds one object, in which only the names that the headers declare can be seen. Its groups
# are dissolved: a linker must not take those of another Swift library in their place.
resources=$("${swift}c" -static-stdlib -print-target-info | sed -n 's/.*"runtimeResourcePath": "\(.*\)".*/\1/p')/linux
runtime=
for name in swiftCore swift_Concurrency swift_StringProcessing swift_RegexParser swiftGlibc swiftSynchronization \
  swiftSwiftOnoneSupport dispatch BlocksRuntime; do
  runtime="$runtime $resources/lib$name.a"
done
# shellcheck disable=SC2086,SC2046
ld -r --gc-sections --force-group-allocation $(echo "$declared" | sed 's/^/-u /') -o "$directory/lamina.o" \
  "@$objects" "$resources/$(uname -m)/swiftrt.o" --start-group $runtime --end-group
objcopy --strip-debug --strip-unneeded --wildcard --keep-global-symbol='lamina_*' "$directory/lamina.o"
rm -f "$directory/liblamina.a"
ar rcs "$directory/liblamina.a" "$directory/lamina.o"
rm "$directory/lamina.o"
