#!/bin/sh
# What `make install` puts under a prefix, and how it goes again:
#   install.sh tree TREE        lays it out, from .build/dist and the sources
#   install.sh add TREE PREFIX  copies TREE in the place of what is recorded, and records its names
#   install.sh remove PREFIX    removes what is recorded, and the folders that were made for it
# LIBDIR is the folder of libraries below the prefix; the record is PREFIX/LIBDIR/lamina/installed.
set -eu
export LC_ALL=C
umask 022
libdir=${LIBDIR:-lib}

tree() {
  here=$(cd "$(dirname "$0")" && pwd)
  root=$here/../../..
  dist=${DIST:-$root/.build/dist}
  program=${PROGRAM:-$dist/lamina}
  version=$(sed -n 's/^#define LAMINA_VERSION_[A-Z]* //p' "$root/include/lamina/lamina.h" | paste -sd.)
  series=${version%.*}
  # From a folder of libdir up to libdir is one step; from there to the prefix, one for each part of its name.
  up=$(echo "$libdir" | sed 's|[^/][^/]*|..|g')
  rm -rf "$1"
  mkdir -p "$1/bin" "$1/include/lamina" "$1/$libdir/pkgconfig" "$1/$libdir/cmake/Lamina" \
    "$1/$libdir/lamina/plugins" "$1/share/man/man1" "$1/share/bash-completion/completions" \
    "$1/share/zsh/site-functions" "$1/share/fish/vendor_completions.d"
  cp "$program" "$1/bin/lamina"
  cp "$dist/liblamina.so.$series" "$dist/liblamina.a" "$1/$libdir"
  ln -s "liblamina.so.$series" "$1/$libdir/liblamina.so"
  cp "$root"/include/lamina/*.h "$1/include/lamina"
  for template in pkgconfig/lamina.pc cmake/Lamina/LaminaConfig.cmake cmake/Lamina/LaminaConfigVersion.cmake; do
    sed "s|@VERSION@|$version|; s|@SERIES@|$series|; s|@LIBDIR@|$libdir|; s|@UP@|$up|; s|@POINTER@|$(($(getconf LONG_BIT) / 8))|" \
      "$here/$(basename "$template").in" > "$1/$libdir/$template"
  done
  for folder in "$root"/plugins/*-c; do
    name=$(basename "$folder" -c)
    make -s -C "$1/$libdir/lamina/plugins" -f "$folder/Makefile" VPATH="$folder" INCLUDE="-I$root/include" "$name.so"
  done
  "$program" --manual > "$1/share/man/man1/lamina.1"
  "$program" --completions bash > "$1/share/bash-completion/completions/lamina"
  "$program" --completions zsh > "$1/share/zsh/site-functions/_lamina"
  "$program" --completions fish > "$1/share/fish/vendor_completions.d/lamina.fish"
}

add() {
  remove "$2"
  folders=$(cd "$1" && find . -mindepth 1 -type d | sort)
  made=$(for folder in $folders; do [ -d "$2/$folder" ] || echo "$folder/"; done)
  files=$(cd "$1" && find . ! -type d | sort)
  for folder in $folders; do mkdir -p "$2/$folder"; done
  for file in $files; do
    rm -f "$2/$file"
    cp -P "$1/$file" "$2/$file"
  done
  printf '%s\n' "$files" "./$libdir/lamina/installed" "$made" > "$2/$libdir/lamina/installed"
}

remove() {
  [ -f "$1/$libdir/lamina/installed" ] || return 0
  # Folders end with / and come behind what is in them in reverse order.
  for name in $(sort -r "$1/$libdir/lamina/installed"); do
    case $name in
      */) rmdir "$1/$name" 2>/dev/null || true ;;
      *) rm -f "$1/$name" ;;
    esac
  done
}

"$@"
