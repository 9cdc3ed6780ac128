#!/bin/sh
# Links the library to install from the package's release objects, with the Swift runtime inside:
#   link.sh FILE SONAME
# SwiftPM's own dynamic product needs the toolchain's runtime beside it and shows every symbol.
set -eu
mkdir -p "$(dirname "$1")"
library=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
soname=$2
swift=${SWIFT:-swift}
cd "$(dirname "$0")/../.."
"$swift" build -c release --product lamina-c
objects=$("$swift" build -c release --show-bin-path)/lamina-c.product/Objects.LinkFileList
# nodelete: Swift code cannot be unloaded. The pkg-config flags are several words.
# shellcheck disable=SC2046
"${swift}c" -emit-library -static-stdlib -use-ld=lld -o "$library" "@$objects" \
  -Xlinker --version-script=Sources/LaminaC/liblamina.map -Xlinker --gc-sections \
  -Xlinker --strip-all -Xlinker -soname="$soname" -Xlinker -z -Xlinker defs \
  -Xlinker -z -Xlinker nodelete $(pkg-config --libs libjpeg libpng zlib)

# It exports what the header declares, and needs nothing that a C program does not have.
exported=$(nm -D --defined-only "$library" | awk '{ print $3 }' | sort)
declared=$(grep -o '\blamina_[a-z_]*(' include/lamina/lamina.h | tr -d '(' | sort -u)
if [ "$exported" != "$declared" ]; then
  echo "$library does not export what lamina.h declares:" >&2
  printf '%s\n%s\n' "$exported" "$declared" | sort | uniq -u >&2
  exit 1
fi
unexpected=$(readelf -d "$library" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' |
  grep -Ev '^(lib(c|m|stdc\+\+|gcc_s|jpeg|png16|z)\.so|ld-linux)' || true)
if [ -n "$unexpected" ]; then
  echo "$library needs $unexpected" >&2
  exit 1
fi
