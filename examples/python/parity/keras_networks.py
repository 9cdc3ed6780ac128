"""Networks of Keras beside those of the catalogue, and read whole: the same weights from each kind of file, the same
input, every stage and the output."""

from typing import Callable, NamedTuple

import h5py
import keras
import numpy
from keras import applications, layers
from keras.src.legacy.saving import legacy_h5_format

import lamina
from parity.table import attempt, difference

CLASSES = 10


class Network(NamedTuple):
    """A network of the catalogue, or none, its counterpart for inputs of a size, pairs of layers and values inside,
    and sizes of inputs."""

    name: str
    make: Callable
    values: dict = {}
    sizes: tuple = ((224, 224), (193, 161))
    #: Whether a file without names of layers can be told apart: by the numbers of the layers.
    numbered: bool = False
    in_catalogue: bool = True
    #: Whether Lamina makes the graph from the file itself: layers of the user's own it cannot.
    whole: bool = True
    scale: float = 1.0


def application(function, **options):
    def make(height, width):
        return getattr(applications, function)(weights=None, input_shape=(height, width, 3), classes=CLASSES,
                                               classifier_activation=None, **options)
    return make


def resnet_values(depth, version):
    blocks = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}[depth]
    stem = {"conv1_relu": "relu"} if version == 1 else {"post_relu": "relu"}
    end = "relu3" if version == 1 else "add"
    return stem | {"pool1_pool": "maxpool"} | {
        f"conv{stage + 1}_block{block}_out": f"layer{stage}.{block - 1}.{end}"
        for stage, count in enumerate(blocks, 1) for block in range(1, count + 1)}


INCEPTION = {f"mixed{place}": f"Mixed_{name}.concat" for place, name in
             enumerate(["5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"])}
INCEPTION_RESNET = {"mixed_5b": "mixed_5b.concat", "mixed_6a": "mixed_6a.concat", "mixed_7a": "mixed_7a.concat",
                    "conv_7b_ac": "conv2d_7b.relu"} | {
    f"{block}_{number}_ac": f"{scope}.{number - 1}.act"
    for block, scope, count in (("block35", "repeat", 10), ("block17", "repeat_1", 20), ("block8", "repeat_2", 9))
    for number in range(1, count + 1)}
XCEPTION = {"block1_conv1_act": "act1", "block1_conv2_act": "act2", "block14_sepconv1_act": "act3",
            "block14_sepconv2_act": "act4"} | {
    "add" + (f"_{number}" if number else ""): f"block{number + 1}.add" for number in range(12)}
MOBILENET = ["conv1_relu", *(f"conv_{kind}_{number}_relu" for number in range(1, 14) for kind in ("dw", "pw"))]


@keras.saving.register_keras_serializable("textbook")
class ResidualUnit(layers.Layer):
    """relu(norm(conv(relu(norm(conv(x))))) + x), as the textbook has it."""

    def __init__(self, filters, strides=1, **options):
        super().__init__(**options)
        self.filters, self.strides = filters, strides
        self.main_layers = [convolution(filters, strides=strides), layers.BatchNormalization(), layers.ReLU(),
                            convolution(filters), layers.BatchNormalization()]
        self.skip_layers = []
        if strides > 1:
            self.skip_layers = [convolution(filters, kernel_size=1, strides=strides), layers.BatchNormalization()]

    def call(self, inputs):
        x = skip = inputs
        for layer in self.main_layers:
            x = layer(x)
        for layer in self.skip_layers:
            skip = layer(skip)
        return keras.ops.relu(x + skip)

    def get_config(self):
        return super().get_config() | {"filters": self.filters, "strides": self.strides}


def convolution(filters, kernel_size=3, **options):
    return layers.Conv2D(filters, kernel_size, padding="same", kernel_initializer="he_normal", use_bias=False,
                         **options)


def textbook_resnet34(height, width):
    model = keras.Sequential([
        keras.Input((height, width, 3)), convolution(64, kernel_size=7, strides=2), layers.BatchNormalization(),
        layers.ReLU(), layers.MaxPooling2D(3, 2, padding="same")])
    previous = 64
    for filters in [64] * 3 + [128] * 4 + [256] * 6 + [512] * 3:
        model.add(ResidualUnit(filters, strides=1 if filters == previous else 2))
        previous = filters
    model.add(layers.GlobalAveragePooling2D())
    model.add(layers.Flatten())
    model.add(layers.Dense(CLASSES))
    return model


TEXTBOOK = {"re_lu": "relu"} | {
    "residual_unit" + (f"_{number}" if number else ""): f"layer{stage}.{block}.relu2"
    for number, (stage, block) in enumerate((stage, block) for stage, count in enumerate((3, 4, 6, 3), 1)
                                            for block in range(count))}


def fashion_mnist_cnn(height, width):
    def convolution(filters, kernel_size=3):
        return layers.Conv2D(filters, kernel_size, padding="same", activation="relu")
    return keras.Sequential([
        keras.Input((height, width, 1)), convolution(64, 7), layers.MaxPooling2D(), convolution(128),
        convolution(128), layers.MaxPooling2D(), convolution(256), convolution(256), layers.MaxPooling2D(),
        layers.Flatten(), layers.Dense(128, activation="relu"), layers.Dropout(0.5),
        layers.Dense(64, activation="relu"), layers.Dropout(0.5), layers.Dense(10)])


FASHION = {"conv2d": "relu1", "conv2d_1": "relu2", "conv2d_2": "relu3", "conv2d_3": "relu4", "conv2d_4": "relu5",
           "dense": "relu6", "dense_1": "relu7"}


def block_zoo(height, width):
    """Every layer of CNNs that the other networks do not use."""
    image = keras.Input((height, width, 3))
    x = layers.Rescaling(1 / 127.5, offset=-1)(image)
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, activation="relu")(x)
    skip = layers.Conv2D(12, 1, padding="same", activation="swish")(x)
    x = layers.SeparableConv2D(12, 3, padding="same", depth_multiplier=2, activation="elu")(x)
    x = layers.BatchNormalization(scale=False)(x)
    inner = keras.Sequential([
        keras.Input((10, 12, 12)), layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2),
        layers.LeakyReLU(), layers.Conv2D(12, 1, groups=3), layers.PReLU(shared_axes=[1, 2])])
    x = layers.Add()([inner(x), skip])
    x = layers.UpSampling2D(2, interpolation="bilinear")(x)
    x = layers.Conv2D(6, 3, dilation_rate=2, padding="same", activation="tanh")(x)
    x = layers.Cropping2D(((1, 2), (0, 3)))(x)
    x = layers.ZeroPadding2D(((0, 1), (2, 1)))(x)
    x = layers.Conv2DTranspose(5, 4, strides=3, padding="same", activation="sigmoid")(x)
    x = layers.Conv2DTranspose(4, 2, strides=3)(x)
    # Of even maps PyTorch's backend averages borders otherwise than Keras' other backends do.
    x = layers.ZeroPadding2D(((0, 1), (0, 1)))(x)
    x = layers.Concatenate()([layers.MaxPooling2D(3, 2, padding="same")(x),
                              layers.AveragePooling2D(3, 2, padding="same")(x)])
    gate = layers.GlobalAveragePooling2D()(x)
    gate = layers.Dense(4, activation="relu")(layers.Reshape((1, 1, 8))(gate))
    gate = layers.Dense(8, activation="hard_sigmoid")(gate)
    x = layers.Multiply()([x, gate])
    x = layers.UpSampling2D(2)(layers.AveragePooling2D(4)(x))
    x = layers.Activation("gelu")(x)
    flat = layers.Dropout(0.5)(layers.Flatten()(x))
    y = layers.Dense(16, activation="relu")(flat)
    z = layers.BatchNormalization()(flat)
    z = layers.Dense(16)(z)
    return keras.Model(image, layers.Dense(7, activation="softmax")(layers.Average()([y, z])))


def shared_layers(height, width):
    """One convolution called twice, and a map flattened in Keras' order."""
    image = keras.Input((height, width, 4))
    convolution = layers.Conv2D(4, 3, padding="same", activation="relu")
    x = convolution(convolution(image))
    return keras.Model(image, layers.Flatten()(layers.ReLU(6)(x)))


NETWORKS = [
    *(Network(f"resnet{depth}_v1", application(f"ResNet{depth}"), resnet_values(depth, 1))
      for depth in (50, 101, 152)),
    *(Network(f"resnet{depth}_v2", application(f"ResNet{depth}V2"), resnet_values(depth, 2))
      for depth in (50, 101, 152)),
    Network("vgg16", application("VGG16"),
            {f"block{block}_pool": f"features.{number}" for block, number in enumerate((4, 9, 16, 23, 30), 1)}
            | {"fc1": "classifier.1", "fc2": "classifier.4"}, ((224, 224),)),
    Network("vgg19", application("VGG19"),
            {f"block{block}_pool": f"features.{number}" for block, number in enumerate((4, 9, 18, 27, 36), 1)}
            | {"fc1": "classifier.1", "fc2": "classifier.4"}, ((224, 224),)),
    Network("mobilenet_v1", application("MobileNet"), {name: name for name in MOBILENET}),
    Network("keras_mobilenet_v2", application("MobileNetV2"), {"block_6_expand_relu": "", "out_relu": ""},
            in_catalogue=False),
    Network("inception_v3_keras", application("InceptionV3"), INCEPTION, ((299, 299), (203, 167)), numbered=True),
    Network("inception_resnet_v2_keras", application("InceptionResNetV2"), INCEPTION_RESNET,
            ((299, 299), (203, 167)), numbered=True),
    Network("xception_keras", application("Xception"), XCEPTION, ((299, 299), (203, 167)), numbered=True),
    Network("resnet34_textbook", textbook_resnet34, TEXTBOOK, whole=False),
    Network("fashion_mnist_cnn", fashion_mnist_cnn, FASHION, ((28, 28),)),
    Network("keras_layers", block_zoo, sizes=((20, 23),), in_catalogue=False, scale=255),
    Network("keras_shared_layers", shared_layers, sizes=((12, 10),), in_catalogue=False),
]


def leaves(layer):
    """The layers with weights of a model or a layer, inner ones too."""
    inner = [found for child in layer._flatten_layers(recursive=False, include_self=False) for found in leaves(child)]
    return inner or ([layer] if layer.weights else [])


def randomise(model, random):
    """Gives a network weights under which every layer matters to the output."""
    for layer in leaves(model):
        for weight in layer.weights:
            shape = weight.shape
            if weight.name in ("gamma", "moving_variance"):
                array = random.uniform(0.5, 1.5, shape)
            elif "kernel" in weight.name:
                fan_in = numpy.prod(shape[:2 if weight.name == "depthwise_kernel" else -1])
                array = random.normal(0, (1 / fan_in) ** 0.5, shape)
            else:
                array = random.normal(0, 0.1, shape)
            weight.assign(array)


def save_weights_alone(model, path):
    """As Keras 2 wrote weights without the network."""
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)


def save_nameless(model, path):
    """As the first versions of Keras 3 wrote weights, without the names of layers."""
    model.save_weights(path)
    with h5py.File(path, "a") as file:
        file.visititems(lambda _, group: group.attrs.pop("name", None) and None)


def channels_first(array):
    return array.transpose(0, 3, 1, 2) if array.ndim == 4 else array


def rows_of(case, folder):
    """A row for each kind of file and way of reading it."""
    random = numpy.random.default_rng(1)
    models = {}
    for size in case.sizes:
        keras.backend.clear_session()
        models[size] = case.make(*size)
        if len(models) == 1:
            randomise(models[size], random)
        else:
            models[size].set_weights(models[case.sizes[0]].get_weights())

    def row(what, suffix, save, size, into_catalogue):
        model = models[size]
        inputs = 2, *size, model.input_shape[-1]

        def differences():
            path = folder / f"model{suffix}"
            save(model, path)
            if into_catalogue:
                network = lamina.create(case.name, classes=CLASSES)
                network.load_weights(path)
            else:
                network = lamina.load(path)
            path.unlink()
            images = (case.scale * random.random(inputs)).astype(numpy.float32)
            outputs = [model.get_layer(name).output for name in case.values]
            expected = keras.Model(model.inputs, [*outputs, model.outputs[0]])(images, training=False)
            expected = expected if isinstance(expected, list) else [expected]
            values = case.values.values() if into_catalogue else case.values
            output = network.outputs[0].name
            found = network.run(numpy.ascontiguousarray(channels_first(images)), outputs=[*values, output])
            return {name: difference(result, channels_first(keras.ops.convert_to_numpy(wanted)))
                    for name, result, wanted in zip([*values, "output"], found, expected)}
        return attempt(case.name, what, (2, inputs[3], *size), differences)

    def save_whole(model, path):
        model.save(path)

    def save_weights(model, path):
        model.save_weights(path)

    first, last = case.sizes[0], case.sizes[-1]
    if case.in_catalogue:
        yield row("Keras .h5", ".h5", save_whole, first, True)
        yield row("Keras .h5, weights alone", ".h5", save_weights_alone, last, True)
        yield row("Keras .weights.h5", ".weights.h5", save_weights, last, True)
        yield row("Keras .keras", ".keras", save_whole, last, True)
        if case.numbered:
            yield row("Keras .weights.h5, no names", ".weights.h5", save_nameless, last, True)
    if case.whole:
        yield row("Keras .h5, whole", ".h5", save_whole, last, False)
        yield row("Keras .keras, whole", ".keras", save_whole, last, False)


def rows(folder, names):
    """The rows of the networks of these names, or of all."""
    keras.utils.set_random_seed(1)
    for case in NETWORKS:
        if not names or case.name in names:
            yield from rows_of(case, folder)
