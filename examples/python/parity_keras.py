"""Compares networks with Keras: random weights saved in its formats, opened by Lamina, the same inputs.

KERAS_BACKEND=torch python examples/python/parity_keras.py prints a row for each variant and format. The largest
difference must stay within 1e-4 of the output's range, at every layer named in `STAGES` as at the end.
"""

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy
from keras import applications, layers

import lamina

TOLERANCE = 1e-4
FORMATS = ["h5", "keras"]


def block_zoo():
    """Every layer of CNNs that the networks below do not use."""
    image = keras.Input((20, 23, 3))
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


def shared_layers():
    """One convolution called twice, and a model whose output is a map flattened in Keras' order."""
    image = keras.Input((12, 10, 4))
    convolution = layers.Conv2D(4, 3, padding="same", activation="relu")
    x = convolution(convolution(image))
    return keras.Model(image, layers.Flatten()(layers.ReLU(6)(x)))


NETWORKS = {
    "block_zoo": (block_zoo, (20, 23), []),
    "shared_layers": (shared_layers, (12, 10), []),
    "resnet50": (lambda: applications.ResNet50(weights=None, input_shape=(64, 65, 3), classes=100), (64, 65),
                 ["conv1_relu", "conv2_block3_out", "conv3_block4_out", "conv4_block6_out", "conv5_block3_out"]),
    "resnet50v2": (lambda: applications.ResNet50V2(weights=None, input_shape=(64, 64, 3), classes=10), (64, 64),
                   ["conv2_block3_out", "post_relu"]),
    "xception": (lambda: applications.Xception(weights=None, input_shape=(75, 79, 3), classes=100), (75, 79),
                 ["block1_conv2_act", "block4_pool", "block12_sepconv3_bn", "block14_sepconv2_act"]),
    "inception_v3": (lambda: applications.InceptionV3(weights=None, input_shape=(96, 91, 3), classes=100), (96, 91),
                     ["mixed0", "mixed3", "mixed8", "mixed10"]),
    "vgg16": (lambda: applications.VGG16(weights=None, input_shape=(32, 64, 3), classes=10), (32, 64),
              ["block1_pool", "block3_pool", "block5_pool", "fc1"]),
    "mobilenet": (lambda: applications.MobileNet(weights=None, input_shape=(64, 64, 3), classes=10), (64, 64),
                  ["conv_pw_6_relu"]),
    "mobilenet_v2": (lambda: applications.MobileNetV2(weights=None, input_shape=(64, 64, 3), classes=10), (64, 64),
                     ["block_6_expand_relu", "out_relu"]),
}


def randomise(model, random):
    """Gives every layer weights as a trained network has them: fresh norms hide mistakes."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            randomise(layer, random)
            continue
        arrays = layer.get_weights()
        if isinstance(layer, layers.BatchNormalization):
            arrays = [random.uniform(0.5, 1.5, a.shape) if w.name in ("gamma", "moving_variance")
                      else random.normal(0, 0.1, a.shape) for a, w in zip(arrays, layer.weights)]
        else:
            arrays = [random.normal(0, 0.1, a.shape) if a.ndim == 1 else
                      a + random.normal(0, 0.01, a.shape) for a in arrays]
        layer.set_weights(arrays)


def difference(expected, found):
    """The largest difference relative to the range; maps have their channels last in Keras."""
    if expected.ndim == 4:
        expected = expected.transpose(0, 3, 1, 2)
    if found.shape != expected.shape:
        sys.exit(f"expected shape {expected.shape}, found {found.shape}")
    return float(numpy.abs(found - expected).max() / max(numpy.ptp(expected), 1e-30))


def compare(name, folder):
    """Rows of (format, largest difference at a layer, its name)."""
    build, (height, width), stages = NETWORKS[name]
    random = numpy.random.default_rng(1)
    model = build()
    randomise(model, random)
    channels = model.input_shape[-1]
    images = random.uniform(0, 255 if name == "block_zoo" else 1, (2, height, width, channels)).astype("float32")
    outputs = [model.get_layer(stage).output for stage in stages] + [model.output]
    answers = keras.Model(model.input, outputs)(images, training=False)
    expected = [keras.ops.convert_to_numpy(x) for x in (answers if stages else [answers])]
    for suffix in FORMATS:
        path = folder / f"{name}.{suffix}"
        model.save(path)
        network = lamina.load(path)
        names = stages + [network.outputs[0].name]
        found = network.run(numpy.ascontiguousarray(images.transpose(0, 3, 1, 2)), outputs=names)
        rows = zip(stages + ["output"], map(difference, expected, found))
        yield suffix, *max(((d, stage) for stage, d in rows), key=lambda row: row[0])
        path.unlink()


def main():
    keras.utils.set_random_seed(1)
    failures = passed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in sys.argv[1:] or NETWORKS:
            for suffix, largest, stage in compare(name, Path(folder)):
                verdict = "ok" if largest <= TOLERANCE else "DIFFERS"
                print(f"{name:16} {suffix:6} {largest:.1e}  {verdict:8} {stage}", flush=True)
                passed += largest <= TOLERANCE
                failures += not largest <= TOLERANCE
    print(f"{passed} passed, {failures} failed")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
