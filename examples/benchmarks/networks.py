"""The networks of the comparison: what each is made with, and the shape of one input."""

from collections import OrderedDict


def chain(**layers):
    from torch import nn
    return nn.Sequential(OrderedDict(layers))


def lenet5():
    """LeCun et al. 1998, with ReLU and max pooling."""
    from torch import nn
    return chain(
        conv1=nn.Conv2d(1, 6, 5, padding=2), relu1=nn.ReLU(), pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(6, 16, 5), relu2=nn.ReLU(), pool2=nn.MaxPool2d(2), flatten=nn.Flatten(),
        fc1=nn.Linear(400, 120), relu3=nn.ReLU(), fc2=nn.Linear(120, 84), relu4=nn.ReLU(), fc3=nn.Linear(84, 10))


def deepconvnet():
    """Six convolutions for MNIST; the fourth makes a map of 14×14 one of 16×16."""
    from torch import nn
    layers = {}
    channels = 1
    for number, (count, padding) in enumerate([(16, 1), (16, 1), (32, 1), (32, 2), (64, 1), (64, 1)], 1):
        layers[f"conv{number}"] = nn.Conv2d(channels, count, 3, padding=padding)
        layers[f"relu{number}"] = nn.ReLU()
        if number % 2 == 0:
            layers[f"pool{number}"] = nn.MaxPool2d(2)
        channels = count
    return chain(**layers, flatten=nn.Flatten(), fc1=nn.Linear(64 * 4 * 4, 50), relu7=nn.ReLU(), fc2=nn.Linear(50, 10))


def torchvision(name, **options):
    def make():
        import torchvision
        return getattr(torchvision.models, name)(weights=None, **options)
    return make


def timm(name):
    def make():
        import timm
        return timm.create_model(name)
    return make


DIGIT, PHOTO, LARGE = (1, 28, 28), (3, 224, 224), (3, 299, 299)

NETWORKS = {
    "lenet5": (lenet5, DIGIT),
    "deepconvnet": (deepconvnet, DIGIT),
    "resnet18": (torchvision("resnet18"), PHOTO),
    "resnet34": (torchvision("resnet34"), PHOTO),
    "resnet50": (torchvision("resnet50"), PHOTO),
    "vgg16": (torchvision("vgg16"), PHOTO),
    "alexnet": (torchvision("alexnet"), PHOTO),
    "googlenet": (torchvision("googlenet", aux_logits=False, init_weights=True), PHOTO),
    "inception_v3": (torchvision("inception_v3", aux_logits=False, init_weights=True), LARGE),
    "xception": (timm("legacy_xception"), LARGE),
    "seresnet50": (timm("seresnet50"), PHOTO),
}
