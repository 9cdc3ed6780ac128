"""Makes a wheel of the Python package with the library inside: python3 wheel.py LIBRARY FOLDER

The wheel runs wherever Python 3.9, numpy and the C and C++ libraries are: the tag says which glibc the library's symbols
need. The picture libraries must be inside LIBRARY, as `link.sh` with PICTURES=static puts them there.
"""

import base64
import hashlib
import platform
import re
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
# What a Linux of the tag's age has, in every edition.
BASE = re.compile(r"lib(c|m|dl|pthread|rt|stdc\+\+|gcc_s)\.so\.\d+$|ld-linux")


def read(library, *options):
    return subprocess.run(["readelf", "-W", *options, library], check=True, stdout=subprocess.PIPE, text=True).stdout


def tag(library):
    """`py3-none-manylinux_2_35_x86_64`: the newest version of glibc that one of the library's symbols needs."""
    outside = [name for name in re.findall(r"\(NEEDED\).*\[(.*)\]", read(library, "-d")) if not BASE.match(name)]
    if outside:
        sys.exit(f"{library} needs {', '.join(outside)}, which not every Linux has")
    versions = re.findall(r"Name: GLIBC_(\d+)\.(\d+)", read(library, "-V"))
    major, minor = max((int(major), int(minor)) for major, minor in versions)
    return f"py3-none-manylinux_{major}_{minor}_{platform.machine()}"


def main():
    library, folder = Path(sys.argv[1]), Path(sys.argv[2])
    header = (ROOT / "include" / "lamina" / "lamina.h").read_text()
    version = ".".join(re.findall(r"#define LAMINA_VERSION_\w+ (\d+)", header))
    platform_tag = tag(library)
    package = ROOT / "examples" / "python" / "lamina"
    files = {f"lamina/{path.name}": path.read_bytes()
             for path in sorted(package.iterdir()) if path.suffix in (".py", ".pyi", ".typed")}
    series = version.rsplit(".", 1)[0]
    files[f"lamina/liblamina.so.{series}"] = library.read_bytes()
    info = f"lamina-{version}.dist-info"
    files[f"{info}/METADATA"] = f"""\
Metadata-Version: 2.1
Name: lamina
Version: {version}
Summary: Inference and training of convolutional networks
License: Apache-2.0
Requires-Python: >=3.9
Requires-Dist: numpy
Description-Content-Type: text/markdown

{(ROOT / "README.md").read_text()}""".encode()
    files[f"{info}/WHEEL"] = f"""\
Wheel-Version: 1.0
Generator: lamina
Root-Is-Purelib: false
Tag: {platform_tag}
""".encode()
    files[f"{info}/LICENSE"] = (ROOT / "LICENSE").read_bytes()
    record = f"{info}/RECORD"
    lines = []
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
        lines.append(f"{name},sha256={digest},{len(content)}\n")
    files[record] = "".join([*lines, f"{record},,\n"]).encode()
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"lamina-{version}-{platform_tag}.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o100755 if ".so" in name else 0o100644) << 16
            archive.writestr(entry, content)
    print(wheel)


if __name__ == "__main__":
    main()
