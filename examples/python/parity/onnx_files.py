"""ONNX both ways: models of the catalogue exported and run by ONNX Runtime, and PyTorch's exports opened by Lamina."""

import logging
import warnings

import numpy
import onnx
import onnxruntime
import torch

import lamina
from parity.table import attempt, difference
from parity.torch_networks import CLASSES, NETWORKS, randomise

#: One network of each family, by name and origin.
EXPORTED = {("alexnet", "torchvision"), ("alexnet_bvlc", "Caffe"), ("vgg11_bn", "torchvision"), ("vgg16", "timm"),
            ("squeezenet1_1", "torchvision"), ("mobilenet_v2", "torchvision"), ("resnet18", "torchvision"),
            ("resnet50", "torchvision"), ("resnet18_v2", "timm"), ("cifar_resnet20", "PyTorch"),
            ("seresnet50", "timm"), ("legacy_seresnet18", "timm"), ("efficientnet_lite0", "timm"),
            ("lenet5_1998", "PyTorch"), ("mnist_cnn", "PyTorch"), ("googlenet", "torchvision"),
            ("googlenet_paper", "Caffe"), ("inception_v3", "torchvision"), ("inception_v4", "timm"),
            ("inception_resnet_v2", "timm"), ("xception", "timm")}


def create(name, folder):
    """A model whose norms and biases are as in a trained one: fresh ones hide mistakes."""
    model = lamina.create(name, classes=CLASSES)
    random = numpy.random.default_rng(1)
    path = folder / "weights.npz"
    model.export(path)
    with numpy.load(path) as file:
        weights = dict(file)
    for key, array in weights.items():
        if array.ndim == 1:
            # Small scales keep the sums of deep networks small, and gates off their ends.
            ranges = {"weight": (0.2, 0.6), "running_var": (0.5, 1.5)}.get(key.rpartition(".")[2])
            array[:] = random.uniform(*ranges, array.shape) if ranges else random.normal(0, 0.1, array.shape)
    numpy.savez(path, **weights)
    model.load_weights(path)
    path.unlink()
    return model


def from_lamina(name, folder):
    """The row of a model's export: ONNX Runtime's results and those of the file read again."""
    model = create(name, folder)
    channels, *extents = model.inputs[0].shape[1:]
    summary = model.summary(as_json=True)
    native = summary["inputs"][0]["shape"][2:]
    # ONNX has adaptive pools for maps of one size.
    is_fixed = any(layer["kind"] == "lamina.adaptive_average_pool" for layer in summary["layers"])
    # Multiples of nothing, above the least size that any of the networks takes.
    odd = (203, 167) if native[0] > 64 else (35, 49)
    size = 2, channels, *(odd if isinstance(extents[0], str) and not is_fixed else native)

    def differences():
        path = folder / f"{name}.onnx"
        model.export(path)
        onnx.checker.check_model(str(path), full_check=True)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        images = numpy.random.default_rng(1).standard_normal(size).astype(numpy.float32)
        [expected] = model.run(images)
        [found] = session.run(None, {session.get_inputs()[0].name: images})
        del session
        [again] = lamina.load(path).run(images)
        path.unlink()
        return {"output": difference(found, expected), "read again": difference(again, expected)}
    return attempt(name, "ONNX, by ONNX Runtime", size, differences)


def export(network, images, path, dynamo):
    """Writes a network as PyTorch does, with any number of pictures and, without dynamo, of any size."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            torch.onnx.export(network, (images,), path, dynamo=True, verbose=False,
                              dynamic_shapes=({0: torch.export.Dim("batch")},))
        else:
            torch.onnx.export(network, (images,), path, dynamo=False, input_names=["input"],
                              dynamic_axes={"input": {0: "batch"}})


def from_torch(case, folder):
    """A row for each of PyTorch's two exporters."""
    # Neither exporter has adaptive pools of other sizes, and the older one makes branches of Caffe's layers.
    network = case.make()
    is_fixed = any(isinstance(module, torch.nn.AdaptiveAvgPool2d) and module.output_size not in (1, (1, 1))
                   for module in network.modules())
    size = 2, case.channels, *case.sizes[0 if is_fixed else -1]
    network = randomise(network, size)
    exporters = [(f"{case.origin} ONNX, dynamo", True), (f"{case.origin} ONNX, legacy", False)]
    for what, dynamo in exporters[:1] if case.origin == "Caffe" else exporters:
        def differences():
            path = folder / f"{case.name}.onnx"
            export(network, torch.randn(3, *size[1:]), path, dynamo)
            images = torch.randn(size)
            with torch.no_grad():
                expected = network(images).numpy()
            [found] = lamina.load(path).run(images.numpy())
            for file in folder.glob(f"{case.name}.onnx*"):
                file.unlink()
            return {"output": difference(found, expected)}
        yield attempt(case.name, what, size, differences)


def rows(folder, names):
    """The rows of the networks of these names, or of all."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    torch.manual_seed(2)
    for name in lamina.architectures():
        if not names or name in names:
            yield from_lamina(name, folder)
    for case in NETWORKS:
        if (case.name, case.origin) in EXPORTED and (not names or case.name in names):
            yield from from_torch(case, folder)
