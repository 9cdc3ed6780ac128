"""Training steps of the catalogue's families beside PyTorch's: the same weights, the same batch, layers as in training
but for dropout. Gradients and weights go through files under PyTorch's names, which Lamina's own maps read: what is
compared lies as in Lamina. A near tie of a maximum, or a number at a clamp, falls to either side, in PyTorch as well:
other images are tried where a difference is beyond its bound, and where none do, the bound is twice the largest
difference of PyTorch's own float32 from its float64 with the same images, and with images that differ in their last bit;
the row says so. RMSProp and Nadam are compared with Keras's, on Lamina's gradients."""

import copy
from typing import NamedTuple

import numpy
import torch

import lamina
from parity import torch_networks
from parity.table import Row

STEPS, SEEDS, NUDGES = 5, 2, 4
HEADING = "differences of the loss, gradients, and weights behind 5 steps of SGD and Adam"
LOSS, GRADIENT, WEIGHT = 1e-5, 1e-3, 1e-4


class Case(NamedTuple):
    """A network of the catalogue and where PyTorch's comes from: `torch_networks` has both. `momentum` is that of the
    norms, where the catalogue's are TensorFlow's and PyTorch's are not; `shift` the range of the norms' biases."""

    name: str
    origin: str
    side: int
    batch: int = 4
    momentum: float | None = None
    shift: tuple[float, float] = (1.1, 1.4)


CASES = [
    Case("lenet5_1998", "PyTorch", 32), Case("lenet5", "PyTorch", 28), Case("lenet_64", "PyTorch", 64),
    # Its norm has no ReLU behind it, and a unit that is on for all items has no gradient through the last norm.
    Case("mnist_cnn", "PyTorch", 28, 16, shift=(-0.1, 0.1)),
    Case("mnist_net", "PyTorch", 28), Case("simple_convnet", "PyTorch", 28),
    Case("deep_convnet", "PyTorch", 28), Case("alexnet", "torchvision", 96), Case("alexnet_paper", "PyTorch", 227, 2),
    Case("alexnet_bvlc", "Caffe", 227, 2), Case("vgg11", "torchvision", 64), Case("vgg11_bn", "torchvision", 64),
    Case("squeezenet1_0", "torchvision", 96), Case("squeezenet1_1", "torchvision", 96),
    Case("mobilenet_v2", "torchvision", 96, 8), Case("resnet18", "torchvision", 96, 8),
    Case("resnet50", "torchvision", 96, 8), Case("resnet50_caffe", "Caffe", 96, 8),
    Case("resnet50_thin", "Caffe", 96, 8), Case("resnet18_v2", "timm", 96, 8), Case("cifar_resnet20", "PyTorch", 32),
    Case("cifar_resnet56", "PyTorch", 32), Case("seresnet50", "timm", 96, 8),
    Case("legacy_seresnet18", "timm", 96, 8), Case("legacy_seresnet50", "timm", 96, 8),
    Case("efficientnet_lite0", "timm", 96, 8, 0.01), Case("googlenet", "torchvision", 96, 8),
    Case("googlenet_paper", "Caffe", 224, 2), Case("se_inception", "PyTorch", 96, 8),
    Case("inception_v3", "torchvision", 139, 8), Case("inception_v4", "timm", 139, 8),
    Case("inception_resnet_v2", "timm", 139, 8), Case("xception", "timm", 96, 8),
]


def settle(network, case):
    """The network in training, with neither dropout nor heads that only help, and with norms whose results lie off the
    kink of the ReLU behind them: where they lie at it rounding errors decide what passes, in PyTorch as well, and
    single values of small maps are percents of a gradient."""
    network.train()
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            torch.nn.init.uniform_(module.weight, 0.25, 0.35)
            torch.nn.init.uniform_(module.bias, *case.shift)
            module.momentum = case.momentum or module.momentum
    for name in ("aux1", "aux2", "AuxLogits"):
        if hasattr(network, name):
            setattr(network, name, None)
    if hasattr(network, "aux_logits"):
        network.aux_logits = False
    if hasattr(network, "drop_rate"):
        network.drop_rate = 0.0
    for module in network.modules():
        if isinstance(module, torch.nn.modules.dropout._DropoutNd):
            module.p = 0.0
    return network


def trainer_of(model, **options):
    """A trainer of everything, without dropout."""
    trainer = lamina.Trainer(model, strict=True, **options)
    random = [row["name"] for row in model.summary(as_json=True)["layers"] if row["kind"] == "lamina.dropout"]
    trainer.freeze(*random)
    return trainer


def difference(found, expected, floor=0.0):
    """The largest difference relative to the range of what is expected."""
    return float(numpy.abs(found - expected).max() / max(numpy.ptp(expected), floor, 1e-30))


class Comparison:
    """One network in both libraries."""

    def __init__(self, case, folder, seed):
        known = next(network for network in torch_networks.NETWORKS
                     if (network.name, network.origin) == (case.name, case.origin))
        self.case, self.known, self.folder = case, known, folder
        self.size = case.batch, known.channels, case.side, case.side
        torch.manual_seed(seed)
        self.network = settle(torch_networks.randomise(known.make(), self.size), case)
        self.start = {key: value.clone() for key, value in self.network.state_dict().items()}
        self.images = torch.randn(self.size)
        self.classes = torch.arange(case.batch) % torch_networks.CLASSES

    def model(self, state):
        """Lamina's model with these tensors, under PyTorch's names."""
        path = self.folder / "step.pth"
        torch.save(self.known.tensors(state), path)
        model = lamina.create(self.case.name, classes=torch_networks.CLASSES)
        model.load_weights(path)
        path.unlink()
        return model

    def torch_step(self):
        self.network.zero_grad()
        loss = torch.nn.functional.cross_entropy(self.network(self.images), self.classes)
        loss.backward()
        return loss.item()

    def gradients(self):
        """Differences of the loss and, the largest, of the gradients."""
        trainer = trainer_of(self.model(self.start), optimizer="sgd")
        loss = trainer.step(self.images.numpy(), self.classes.numpy())
        expected = self.torch_step()
        state = dict(self.start) | {name: weight.grad for name, weight in self.network.named_parameters()}
        wanted = trainer_of(self.model(state))
        weights = [key for key, (role, _) in trainer.parameters.items() if role == "weight"]
        wanted_values = {key: wanted.value(key) for key in weights}
        # A bias before a norm has no gradient but rounding errors: those are as small as the others are large.
        largest = max(numpy.abs(value).max() for value in wanted_values.values())
        floor = 1e-3 * largest
        self.idle = {key for key, value in wanted_values.items() if numpy.abs(value).max() < 1e-5 * largest}
        worst = max((difference(trainer.gradient(key), value, floor), key) for key, value in wanted_values.items())
        return abs(loss - expected), worst

    def own_error(self, make=None):
        """How far PyTorch's gradients, or weights and statistics behind some steps, are from those of float64: the
        largest difference, over images that differ in their last bit. A near tie in a maximum, or a number at a clamp,
        falls to either side there as well."""
        def run(network, images):
            network.load_state_dict(self.start)
            optimizer = make(network.parameters()) if make else None
            for _ in range(STEPS if make else 1):
                network.zero_grad()
                torch.nn.functional.cross_entropy(network(images), self.classes).backward()
                if optimizer:
                    optimizer.step()
            state = network.state_dict() if make else {key: w.grad for key, w in network.named_parameters()}
            return {key: value.double().numpy().copy() for key, value in state.items()}

        truth = run(copy.deepcopy(self.network).double(), self.images.double())
        floor = 1e-2 if make else 1e-3 * max(numpy.abs(value).max() for value in truth.values())
        last_bit = torch.finfo(torch.float32).eps * self.images.abs()
        worst = 0.0
        for nudge in range(NUDGES):
            found = run(self.network, self.images + (torch.rand(self.size) - 0.5).sign() * last_bit * min(nudge, 1))
            idle = set() if not make else {key for key, w in self.network.named_parameters()
                                           if w.grad is not None and w.grad.abs().max() < 1e-5}
            worst = max([worst] + [difference(found[key], value, floor) for key, value in truth.items()
                                   if value.size and key not in idle])
        return worst

    def weights(self, name, make):
        """The largest difference of weights and statistics behind some steps."""
        self.network.load_state_dict(self.start)
        optimizer = make(self.network.parameters())
        settings = optimizer.defaults
        trainer = trainer_of(self.model(self.start), optimizer=name, learning_rate=settings["lr"],
                             momentum=settings.get("momentum"))
        for _ in range(STEPS):
            trainer.step(self.images.numpy(), self.classes.numpy())
            trainer.apply()
            self.torch_step()
            optimizer.step()
        wanted = trainer_of(self.model(self.network.state_dict()))
        # Adam moves a weight without a gradient by the sign of rounding errors.
        return max((difference(trainer.value(key), wanted.value(key), 1e-2), key) for key in trainer.parameters
                   if key not in self.idle)


def row_of(case, folder):
    """The row of the first seed that passes, or of the last."""
    for seed in range(1, SEEDS + 1):
        row = attempt(case, folder, seed, is_last=seed == SEEDS)
        if row.good:
            break
    return row


def attempt(case, folder, seed, is_last):
    """One line: the loss, the worst gradient, and the worst weight or statistic behind steps of SGD and Adam."""
    what = f"{case.origin}, a step"
    try:
        comparison = Comparison(case, folder, seed)
        size = " x ".join(map(str, comparison.size))
        loss, gradient = comparison.gradients()
        # Adam's first steps are of one size, whatever the gradient: where that is but a rounding error, so is its sign.
        rules = {"sgd": lambda weights: torch.optim.SGD(weights, 1e-3, momentum=0.9, fused=True),
                 "adam": lambda weights: torch.optim.Adam(weights, 1e-5, fused=True)}
        sgd, adam = (comparison.weights(name, make) for name, make in rules.items())
        shares, notes = [], []
        for (worst, key), limit, make in ((gradient, GRADIENT, None), (sgd, WEIGHT, rules["sgd"]),
                                          (adam, WEIGHT, rules["adam"])):
            if worst > limit and is_last:
                own = comparison.own_error(make)
                notes.append(f"{key}, PyTorch itself {own:.0e}")
                limit = max(limit, 2 * own)
            shares.append(worst / limit)
        good = loss <= LOSS and max(shares) <= 1
        shown = " ".join([f"{loss:.0e} {gradient[0]:.0e} {sgd[0]:.0e} {adam[0]:.0e}", *notes[:1]])
        # Tolerances differ: the worst share of one, in those of the table.
        worst = max(shares) * 1e-4
        return Row(case.name, what, size, shown, good, worst)
    except Exception as error:
        return Row(case.name, what, "", f"{type(error).__name__}: {error}"[:300], False)


def keras_row(name, make):
    """Keras's rule and Lamina's on the same gradients."""
    import keras

    def steps():
        model = lamina.create("lenet5", seed=3)
        trainer = lamina.Trainer(model, optimizer=name, learning_rate=0.001)
        random = numpy.random.default_rng(1)
        images = random.standard_normal((8, 1, 28, 28), numpy.float32)
        weights = {key: keras.Variable(trainer.value(key)) for key in trainer.parameters}
        rule = make(keras.optimizers)
        for _ in range(STEPS):
            trainer.step(images, numpy.arange(8))
            rule.apply([keras.ops.convert_to_tensor(trainer.gradient(key)) for key in weights], list(weights.values()))
            trainer.apply()
        return max(difference(trainer.value(key), keras.ops.convert_to_numpy(weight))
                   for key, weight in weights.items())
    try:
        worst = steps()
        return Row("lenet5", f"Keras {name}, {STEPS} steps", "8 x 1 x 28 x 28", f"{worst:.0e}", worst <= WEIGHT, worst)
    except Exception as error:
        return Row("lenet5", f"Keras {name}", "", f"{type(error).__name__}: {error}"[:300], False)


def rows(folder, names):
    """The rows of the networks of these names, or of all, and of the optimizers of Keras."""
    for case in CASES:
        if not names or case.name in names:
            yield row_of(case, folder)
    if not names or "lenet5" in names:
        yield keras_row("rmsprop", lambda rules: rules.RMSprop(0.001, rho=0.9))
        yield keras_row("nadam", lambda rules: rules.Nadam(0.001))
