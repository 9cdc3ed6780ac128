#!/usr/bin/env bash
# Installs the packages in dist as users do: the wheel in a new virtual environment, the Debian package, by root, on this
# machine, from which it is removed again. `make wheel deb` makes them.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check dist/*.whl
(
  cd "$work"
  env -u LAMINA_LIBRARY -u PYTHONPATH venv/bin/python - <<'END'
import os
import lamina
from lamina import _library

inside = os.path.dirname(lamina.__file__)
assert _library.library._name.startswith(inside), _library.library._name
lamina.create("lenet5").save("digits.safetensors")
assert len(lamina.load("digits.safetensors").run([[[[0.0] * 28] * 28]])[0][0]) == 10
print("wheel:", lamina.version())
END
)

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "skipped: only root can install the Debian package"
  exit 0
fi
if dpkg -s lamina >/dev/null 2>&1; then
  echo "skipped: a package lamina is installed"
  exit 0
fi
find /usr -xdev -not -path '/usr/share/man/*' -not -path '/usr/share/doc*' | sort > "$work/before"
DEBIAN_FRONTEND=noninteractive apt-get install -qy "./$(echo dist/*.deb)" > "$work/log" 2>&1 || { cat "$work/log"; exit 1; }
trap 'apt-get purge -qy lamina >/dev/null 2>&1 || true; rm -rf "$work"' EXIT
lamina --version
plugin=$(echo /usr/lib/*/lamina/plugins/mish.so)
XDG_CACHE_HOME=$work lamina plugin info "$plugin" | head -1
# shellcheck disable=SC2046
cc examples/c/classify.c $(pkg-config --cflags --libs lamina) -o "$work/classify"
status=0
"$work/classify" /dev/null /dev/null "$plugin" 2> "$work/errors" || status=$?
[ "$status" = 1 ] && grep -q 'expected a regular file' "$work/errors"
apt-get purge -qy lamina > "$work/log" 2>&1
trap 'rm -rf "$work"' EXIT
find /usr -xdev -not -path '/usr/share/man/*' -not -path '/usr/share/doc*' | sort > "$work/after"
diff "$work/before" "$work/after"
echo "package: installed, run and removed"
