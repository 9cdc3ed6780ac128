#!/bin/sh
# Makes a Debian package of what `make install` installs: deb.sh FOLDER
set -eu
export LC_ALL=C
umask 022
mkdir -p "$1"
folder=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../../..
version=$(sed -n 's/^#define LAMINA_VERSION_[A-Z]* //p' "$root/include/lamina/lamina.h" | paste -sd.)
architecture=$(dpkg --print-architecture)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/package
libdir=lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH)
LIBDIR=$libdir sh "$here/install.sh" tree "$tree/usr"
# The linker looks for libraries of the distribution by itself.
sed -i 's/ -Wl,-rpath,${libdir}//' "$tree/usr/$libdir/pkgconfig/lamina.pc"
mkdir -p "$tree/usr/share/zsh" "$tree/usr/share/doc/lamina" "$tree/DEBIAN"
mv "$tree/usr/share/zsh/site-functions" "$tree/usr/share/zsh/vendor-completions"
chmod 644 "$tree/usr/$libdir"/liblamina.so.*
find "$tree/usr/$libdir/lamina/plugins" -name '*.so' -exec strip --strip-unneeded {} + -exec chmod 644 {} +
gzip -9n "$tree/usr/share/man/man1/lamina.1"
maintainer='Lamina <lamina@example.org>'
cat > "$tree/usr/share/doc/lamina/changelog" <<END
lamina ($version) unstable; urgency=medium

  * Made from version $version.

 -- $maintainer  $(date -R -r "$root/CHANGELOG.md")
END
gzip -9n "$tree/usr/share/doc/lamina/changelog"
cat > "$tree/usr/share/doc/lamina/copyright" <<END
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: Lamina

Files: *
Copyright: $(date -r "$root/CHANGELOG.md" +%Y) the authors of Lamina
License: Apache-2.0
 On Debian systems, the text of the license is in /usr/share/common-licenses/Apache-2.0.
END

# dpkg-shlibdeps wants the folder of a source package, and the folder of the package's own libraries.
mkdir "$work/debian"
printf 'Source: lamina\n\nPackage: lamina\nArchitecture: any\n' > "$work/debian/control"
depends=$(cd "$work" && dpkg-shlibdeps -O -l"$tree/usr/$libdir" \
  -e"$tree/usr/bin/lamina" $(find "$tree/usr/$libdir" -name 'lib*.so.*' -exec echo -e{} \; -o -path '*/plugins/*.so' -exec echo -e{} \;) |
  sed 's/^shlibs:Depends=//')
series=${version%.*}
echo "liblamina $series lamina (>= $version)" > "$tree/DEBIAN/shlibs"
echo 'activate-noawait ldconfig' > "$tree/DEBIAN/triggers"
cat > "$tree/DEBIAN/control" <<END
Package: lamina
Version: $version
Architecture: $architecture
Maintainer: $maintainer
Installed-Size: $(du -sk "$tree/usr" | cut -f1)
Depends: $depends
Section: science
Priority: optional
Description: inference and training of convolutional networks
 A program that classifies pictures and fits networks to new ones, and the
 library behind it with its C headers: pkg-config and CMake find it. Layers
 can be added by plugins.
END
(cd "$tree" && find usr -type f -exec md5sum {} + > DEBIAN/md5sums)
dpkg-deb --root-owner-group --build "$tree" "$folder/lamina_${version}_$architecture.deb"
