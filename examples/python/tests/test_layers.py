"""Layers of models, of plugins, and layers written in Python."""

import gc
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

try:
    import numpy as np
except ImportError as error:
    raise unittest.SkipTest("skipped: no NumPy") from error

import lamina

ROOT = Path(__file__).resolve().parents[3]


class Mish(lamina.Layer):
    """scale * x * tanh(ln(1 + e^x))"""

    kind = "com.example.python_mish"
    attributes = {"scale": 1.0}

    def forward(self, call):
        [x] = call.inputs
        return self.scale * x * np.tanh(np.logaddexp(0, x))

    def backward(self, call):
        [x], [slope] = call.inputs, call.output_gradients
        t = np.tanh(np.logaddexp(0, x))
        return self.scale * slope * (t + x * (1 + np.tanh(x / 2)) / 2 * (1 - t * t))


class ChannelScale(lamina.Layer):
    """weight[c] * x[n, c, ...], and how often that was trained."""

    kind = "com.example.channel_scale"

    def parameters(self, inputs):
        [(shape, _)] = inputs
        return [lamina.ParameterSpec("weight", shape[1:2], initializer="constant", scale=0.5),
                lamina.ParameterSpec("seen", (1,), role="buffer")]

    def forward(self, call):
        if call.is_training:
            call.buffer_updates["seen"] = call.parameters["seen"] + 1
        return call.inputs[0] * self.spread(call)

    def backward(self, call):
        [x], [slope] = call.inputs, call.output_gradients
        axes = (0, *range(2, x.ndim))
        return slope * self.spread(call), {"weight": (x * slope).sum(axes)}

    @staticmethod
    def spread(call):
        return call.parameters["weight"].reshape(1, -1, *[1] * (call.inputs[0].ndim - 2))


class Split(lamina.Layer):
    """Halves along the last axis, of one input; the sum of several inputs before."""

    kind = "com.example.split"
    input_count = (1, None)
    output_count = 2
    backward_reads = ()

    def infer_shapes(self, inputs):
        *rest, last = inputs[0].shape
        if last % 2:
            raise ValueError(f"expected an even last extent, found {last}")
        return [lamina.TensorSpec((*rest, last // 2))] * 2

    def forward(self, call):
        return np.split(sum(call.inputs), 2, axis=-1)

    def backward(self, call):
        assert not call.inputs and not call.outputs
        return [np.concatenate(call.output_gradients, -1)] * call.input_count


class Odd(lamina.Layer):
    """Does what `how` says."""

    kind = "com.example.odd"
    attributes = {"how": str, "flag": False, "count": 3, "sizes": [1, 2], "scales": [0.5]}

    def __init__(self, **attributes):
        super().__init__(**attributes)
        if self.how == "create":
            raise ValueError("expected another how")

    def infer_shapes(self, inputs):
        if self.how == "infer":
            raise ValueError("expected 4 axes,\nfound 2")
        if self.how == "two":
            return [inputs[0], inputs[0]]
        if self.how == "negative":
            return [lamina.TensorSpec((-1, 2))]
        if self.how == "huge":
            return [lamina.TensorSpec(((1 << 64) + 1, 2))]
        if self.how == "number":
            return [lamina.TensorSpec((1, 2), "float31")]
        return super().infer_shapes(inputs)

    def parameters(self, inputs):
        if self.how == "role":
            return [lamina.ParameterSpec("p", (1,), role="wait")]
        if self.how == "twice":
            return [lamina.ParameterSpec("p", (1,))] * 2
        return [lamina.ParameterSpec(f"p{index}", (1,)) for index in range(12)] if self.how == "many" else []

    def forward(self, call):
        [x] = call.inputs
        answers = {"raise": lambda: 1 / 0, "none": lambda: None, "shape": lambda: x[0], "type": lambda: x * 1j,
                   "own": lambda: self.refuse(), "interrupt": lambda: self.interrupt(),
                   "long": lambda: self.long(), "attributes": lambda: self.told(x)}
        return answers.get(self.how, lambda: x)()

    def backward(self, call):
        if self.how == "gradient":
            return call.output_gradients[0][0]
        if self.how == "unknown":
            return call.output_gradients[0], {"weight": 1}
        raise KeyError("no way back")

    def told(self, x):
        return x * 0 + [self.count + self.flag + sum(self.sizes), sum(self.scales)]

    def refuse(self):
        raise lamina.Error(60, "expected something else")

    def interrupt(self):
        raise KeyboardInterrupt

    def long(self):
        raise ValueError("ä" * 1000)


def graph(*nodes, shape=("batch", 2), outputs=None):
    """A graph of nodes (name, kind, inputs, attributes)."""
    return {"format": "lamina.graph", "version": 1, "name": "small",
            "inputs": [{"name": "x", "type": "float32", "shape": list(shape)}],
            "nodes": [{"name": name, "kind": kind, "inputs": list(inputs), "attributes": attributes}
                      for name, kind, inputs, attributes in nodes],
            "outputs": outputs or [nodes[-1][0]]}


def replaced(kind, attributes):
    """The graph of `mnist_cnn` with other activations."""
    result = lamina.create("mnist_cnn").graph
    for node in result["nodes"]:
        if node["kind"] == "lamina.relu":
            node["kind"] = kind
            node["attributes"] = attributes
        elif node["kind"] == "lamina.dropout":
            node["attributes"] = {"rate": 0.0}
    return result


class Case(unittest.TestCase):
    def check_error(self, code, text, call):
        with self.assertRaises(lamina.Error) as caught:
            call()
        self.assertIn(text, caught.exception.message)
        self.assertEqual(caught.exception.code, code)
        return caught.exception


class ModelLayerTests(Case):
    def test_layers_tell_what_a_model_is_made_of(self):
        model = lamina.create("mnist_cnn", seed=7)
        layers = model.layers
        self.assertEqual(len(layers), 13)
        self.assertEqual([layer.name for layer in layers[:3]], ["conv1", "relu1", "conv2"])
        self.assertEqual(layers[-1].name, "norm2")
        self.assertIn("conv2", layers)
        self.assertIn(layers[0], layers)
        conv = layers["conv2"]
        self.assertEqual((conv.kind, conv.version, conv.provider), ("lamina.conv2d", 1, "lamina"))
        self.assertEqual(conv.attributes, {"out_channels": 16, "kernel_size": [3, 3]})
        self.assertEqual(conv.inputs, ("relu1",))
        self.assertEqual(conv.outputs, (("conv2", "float32", ("batch", 16, 24, 24)),))
        self.assertEqual(list(conv.parameters), ["weight", "bias"])
        with self.assertRaisesRegex(KeyError, "no layer is named 'conv9'"):
            layers["conv9"]
        self.assertIs(model.layers, layers)
        model.labels = list("abcdefghij")
        self.assertIsNot(model.layers, layers)
        self.assertTrue(repr(layers).startswith("<lamina.Nodes conv1, relu1"))

    def test_parameters_are_arrays(self):
        model = lamina.create("mnist_cnn", seed=7)
        weight = model.layers["conv2"].parameters["weight"]
        self.assertEqual((weight.key, weight.role, weight.type, weight.shape),
                         ("conv2.weight", "weight", "float32", (16, 8, 3, 3)))
        self.assertEqual(repr(weight), "<lamina.Parameter weight: float32 [16, 8, 3, 3]>")
        self.assertEqual(model.layers["norm1"].parameters["running_var"].role, "buffer")
        with tempfile.TemporaryDirectory() as folder:
            model.export(Path(folder) / "all.npz")
            with np.load(Path(folder) / "all.npz") as expected:
                for layer in model.layers:
                    for parameter in layer.parameters.values():
                        np.testing.assert_array_equal(parameter, expected[parameter.key])
        found = weight.numpy()
        found[:] = 0
        self.assertTrue(np.asarray(weight).any())
        np.testing.assert_array_equal(np.from_dlpack(weight), weight.numpy())
        del model
        gc.collect()
        self.assertEqual(np.asarray(weight, np.float64).dtype, np.float64)

    def test_graphs_make_models(self):
        model = lamina.create("mnist_cnn", seed=7)
        batch = np.ones((1, 1, 28, 28), np.float32)
        same = lamina.from_graph(model.graph, seed=7)
        self.assertEqual(same.graph, model.graph)
        changed = model.graph
        changed["outputs"] = ["relu1"]
        changed["nodes"] = changed["nodes"][:2]
        short = lamina.from_graph(changed, seed=1)
        self.assertEqual(short.run(batch)[0].shape, (1, 8, 26, 26))
        wrong = graph(("fc", "lamina.dens", "x", {}))
        self.check_error(60, "nearest is 'lamina.dense'", lambda: lamina.from_graph(wrong))


class PluginTests(Case):
    @classmethod
    def setUpClass(cls):
        if not shutil.which("cc") or os.name != "posix":
            raise unittest.SkipTest("skipped: no C compiler")
        cls.folder = tempfile.TemporaryDirectory()
        cls.cache = os.environ.get("XDG_CACHE_HOME")
        os.environ["XDG_CACHE_HOME"] = cls.folder.name
        cls.plugin = Path(cls.folder.name) / "mish.so"
        subprocess.run(["cc", "-O2", "-std=gnu11", "-fPIC", "-shared", f"-I{ROOT / 'include'}", "-o", cls.plugin,
                        ROOT / "plugins/mish-c/mish.c", "-lm"], check=True)

    @classmethod
    def tearDownClass(cls):
        os.environ.pop("XDG_CACHE_HOME")
        if cls.cache is not None:
            os.environ["XDG_CACHE_HOME"] = cls.cache
        cls.folder.cleanup()

    def test_a_plugin_adds_its_layers_to_one_context(self):
        context = lamina.Context(plugins=[self.plugin], threads=1)
        context.load_plugin(str(self.plugin))
        found = [kind for kind in context.layers if kind.provider == "com.example.mish"]
        self.assertEqual(found, [("com.example.mish", 1, "com.example.mish", (1, 1))])
        self.assertNotIn("com.example.mish", lamina.layers())
        batch = np.random.default_rng(0).standard_normal((2, 1, 28, 28), np.float32)
        theirs = lamina.from_graph(replaced("com.example.mish", {}), seed=3, context=context)
        ours = lamina.from_graph(replaced("lamina.mish", {}), seed=3)
        np.testing.assert_allclose(theirs.run(batch)[0], ours.run(batch)[0], rtol=1e-4, atol=1e-5)
        self.assertEqual(theirs.layers["relu1"].provider, "com.example.mish")

    def test_errors_say_what_is_wrong(self):
        self.check_error(60, "no such file", lambda: lamina.Context(plugins=["/no/such.so"]))
        self.check_error(70, "found another kind of file", lambda: lamina.Context(plugins=[__file__]))
        self.check_error(10, "found both", lambda: lamina.create("lenet5", threads=1, context=lamina.Context()))

    def test_pickles_bring_plugins_and_classes_along(self):
        context = lamina.Context(plugins=[self.plugin], layers=[Mish], threads=1)
        model = lamina.from_graph(replaced("com.example.mish", {}), context=context)
        path = Path(self.folder.name) / "mish.safetensors"
        model.save(path)
        models = [lamina.load(path, context=context) for _ in range(2)]
        first, second = pickle.loads(pickle.dumps(models))
        self.assertIs(first._context, second._context)
        third = pickle.loads(pickle.dumps(models[0]))
        self.assertIs(first._context, third._context)
        kinds = [kind.kind for kind in first._context.layers]
        self.assertIn("com.example.mish", kinds)
        self.assertIn(Mish.kind, kinds)


class PythonLayerTests(Case):
    context = lamina.Context(threads=2, layers=[Mish, ChannelScale, Split, Odd])

    def model(self, *nodes, **options):
        return lamina.from_graph(graph(*nodes, **options), seed=1, context=self.context)

    def test_layers_run(self):
        x = np.random.default_rng(0).standard_normal((3, 4), np.float32)
        model = self.model(("a", Mish.kind, ["x"], {"scale": 2.0}), ("b", Split.kind, ["a", "x"], {}),
                           ("c", ChannelScale.kind, ["b:1"], {}), shape=("batch", 4), outputs=["a", "b", "b:1", "c"])
        mish, left, right, scaled = model.run(x)
        expected = 2 * x * np.tanh(np.log1p(np.exp(x)))
        np.testing.assert_allclose(mish, expected, rtol=1e-5)
        np.testing.assert_allclose(left, (expected + x)[:, :2], rtol=1e-5)
        np.testing.assert_allclose(right, (expected + x)[:, 2:], rtol=1e-5)
        np.testing.assert_allclose(scaled, right / 2, rtol=1e-5)
        self.assertEqual(model.layers["b"].outputs[1].shape, ("batch", 2))
        self.assertEqual(model.layers["c"].parameters["seen"].role, "buffer")
        self.assertEqual(model.layers["a"].provider, f"python.{Mish.__module__}")
        self.assertEqual([kind.inputs for kind in self.context.layers if kind.kind == Split.kind], [(1, None)])
        self.assertEqual(model.run(x[:0])[0].shape, (0, 4))

    def test_attributes_have_types_and_defaults(self):
        def told(**attributes):
            return self.model(("a", Odd.kind, ["x"], {"how": "attributes", **attributes})).run(
                np.zeros((1, 2), np.float32))[0].tolist()

        self.assertEqual(told(), [[6, 0.5]])
        self.assertEqual(told(flag=True, count=10, sizes=[4], scales=[1, 2.5]), [[15, 3.5]])
        self.assertEqual(told(sizes=[], scales=[]), [[3, 0]])
        for attributes, text in [({}, "expected attribute 'how', found none"),
                                 ({"how": 3}, "expected attribute 'how' to be a string, found an integer"),
                                 ({"how": "create"}, "a (com.example.odd): ValueError: expected another how"),
                                 ({"how": "", "count": 0.5}, "expected attribute 'count' to be an integer"),
                                 ({"how": "", "cont": 1}, "nearest is 'count'")]:
            self.check_error(90, text, lambda: self.model(("a", Odd.kind, ["x"], attributes)))
        self.assertEqual(Odd(how="").count, 3)
        with self.assertRaisesRegex(ValueError, "found 'hwo'"):
            Odd(how="", hwo="")

    def test_exceptions_become_errors(self):
        x = np.ones((2, 2), np.float32)
        for how, code, text in [
                ("raise", 10, "a (com.example.odd): ZeroDivisionError: division by zero"),
                ("none", 10, "ValueError: forward: expected 1 outputs, found 0"),
                ("shape", 10, "ValueError: forward: output 0: expected shape [2, 2], found [2]"),
                ("type", 10, "TypeError: forward: output 0: expected float32, found complex64"),
                ("own", 60, "a (com.example.odd): expected something else"), ("long", 10, "ValueError: ää")]:
            model = self.model(("a", Odd.kind, ["x"], {"how": how}))
            for _ in range(2):
                error = self.check_error(code, text, lambda: model.run(x))
                self.assertIsInstance(error.__cause__, Exception)
                self.assertIsNotNone(error.__cause__.__traceback__)
        for how, text in [("infer", "ValueError: expected 4 axes, found 2"),
                          ("two", "ValueError: infer_shapes: expected 1 outputs, found 2"),
                          ("number", "infer_shapes: output 0: no tensor can be float31 [1, 2]"),
                          ("negative", "infer_shapes: output 0: no tensor can be float32 [-1, 2]"),
                          ("huge", "infer_shapes: output 0: no tensor can be float32 [18446744073709551617, 2]"),
                          ("role", "ValueError: parameter p: expected one of weight, buffer, found 'wait'")]:
            self.check_error(40, text, lambda: self.model(("a", Odd.kind, ["x"], {"how": how})))
        self.check_error(70, "two parameters are 'p'", lambda: self.model(("a", Odd.kind, ["x"], {"how": "twice"})))
        self.assertEqual(len(self.model(("a", Odd.kind, ["x"], {"how": "many"})).layers[0].parameters), 12)
        with self.assertRaises(KeyboardInterrupt):
            self.model(("a", Odd.kind, ["x"], {"how": "interrupt"})).run(x)

    def test_exceptions_end_training(self):
        x = np.ones((2, 2), np.float32)
        for how, text in [("", "KeyError: 'no way back'"),
                          ("gradient", "backward: gradient of input 0: expected shape [2, 3], found [3]"),
                          ("unknown", "backward: no parameter is named 'weight'")]:
            model = self.model(("fc", "lamina.dense", ["x"], {"out_features": 3}),
                               ("a", Odd.kind, ["fc"], {"how": how}))
            self.check_error(10, text, lambda: lamina.Trainer(model).step(x, [0, 1]))

    def test_training_agrees_with_the_built_in_layer(self):
        rng = np.random.default_rng(0)
        batch, labels = rng.standard_normal((8, 1, 28, 28), np.float32), rng.integers(0, 10, 8)
        ours = lamina.from_graph(replaced("lamina.mish", {}), seed=3)
        theirs = lamina.from_graph(replaced(Mish.kind, {}), seed=3, context=self.context)
        losses = []
        for model in (ours, theirs):
            trainer = lamina.Trainer(model, optimizer="sgd", learning_rate=0.05)
            losses.append([])
            for _ in range(5):
                losses[-1].append(trainer.step(batch, labels))
                trainer.apply()
        np.testing.assert_allclose(losses[1], losses[0], atol=1e-4)
        self.assertLess(losses[0][-1], losses[0][0])

    def test_gradients_agree_with_differences(self):
        x = np.random.default_rng(0).standard_normal((2, 4), np.float32)
        labels = np.array([0, 1])
        model = self.model(("fc1", "lamina.dense", ["x"], {"out_features": 4}),
                           ("a", ChannelScale.kind, ["fc1"], {}), ("b", Mish.kind, ["a"], {"scale": 1.5}),
                           ("c", Split.kind, ["b"], {}), ("d", "lamina.add", ["c", "c:1"], {}),
                           ("fc", "lamina.dense", ["d"], {"out_features": 3}), shape=("batch", 4))
        trainer = lamina.Trainer(model)
        trainer.step(x, labels)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "weights.npz"
            model.export(path)
            with np.load(path) as arrays:
                values = {name: arrays[name] for name in arrays.files}

            def loss(key, place, change):
                changed = {name: value.copy() for name, value in values.items()}
                changed[key].flat[place] += change
                np.savez(path, **changed)
                other = self.model(*((node["name"], node["kind"], node["inputs"], node.get("attributes", {}))
                                     for node in model.graph["nodes"]), shape=("batch", 4))
                other.load_weights(path)
                return lamina.Trainer(other).step(x, labels)

            for key in ("a.weight", "fc1.weight"):
                gradient = trainer.gradient(key)
                for place in range(3):
                    expected = (loss(key, place, 1e-2) - loss(key, place, -1e-2)) / 2e-2
                    self.assertAlmostEqual(gradient.flat[place], expected, delta=1e-3)

    def test_buffers_are_kept_up_to_date(self):
        x = np.ones((2, 2), np.float32)
        model = self.model(("a", ChannelScale.kind, ["x"], {}), ("fc", "lamina.dense", ["a"], {"out_features": 3}))
        trainer = lamina.Trainer(model)
        for _ in range(3):
            trainer.step(x, [0, 1])
            trainer.apply()
        self.assertEqual(trainer.value("a.seen").tolist(), [3])
        self.assertNotEqual(trainer.value("a.weight").tolist(), [0.5, 0.5])

    def test_training_from_data_goes_through_python_layers(self):
        rng = np.random.default_rng(0)
        items, classes = rng.standard_normal((24, 1, 28, 28), np.float32), np.arange(24) % 10
        data = lamina.Dataset.from_arrays(items, classes, validation=4)
        model = lamina.from_graph(replaced(Mish.kind, {}), seed=3, context=self.context)
        trainer = lamina.Trainer(model, data, epochs=2, batch_size=8)
        done = []
        thread = threading.Thread(target=lambda: done.append(trainer.fit()))
        thread.start()
        while thread.is_alive():
            model.run(items[:1])
        self.assertEqual(done, ["completed"])
        self.assertLess(trainer.history[1]["loss"], trainer.history[0]["loss"])
        failing = self.model(("fc", "lamina.dense", ["x"], {"out_features": 3}), ("a", Odd.kind, ["fc"], {"how": ""}))
        data = lamina.Dataset.from_arrays(np.ones((4, 2), np.float32), [0, 1, 2, 0])
        error = self.check_error(10, "KeyError: 'no way back'", lambda: lamina.Trainer(failing, data).fit())
        self.assertIsInstance(error.__cause__, KeyError)

    def test_models_with_python_layers_are_saved(self):
        model = self.model(("a", Mish.kind, ["x"], {"scale": 0.5}))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "mish.safetensors"
            model.save(path)
            again = lamina.load(path, context=self.context)
            x = np.ones((1, 2), np.float32)
            np.testing.assert_array_equal(again.run(x)[0], model.run(x)[0])
            self.assertEqual(again.layers[0].attributes, {"scale": 0.5})

    def test_models_open_without_their_layers(self):
        model = self.model(("a", ChannelScale.kind, ["x"], {}), ("b", Split.kind, ["a"], {}),
                           ("fc", "lamina.dense", ["b:1"], {"out_features": 3}))
        x = np.ones((2, 2), np.float32)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "scaled.safetensors"
            model.save(path)
            bare = lamina.load(path)
            again = lamina.load(path, context=self.context)
        np.testing.assert_array_equal(again.run(x)[0], model.run(x)[0])
        scale = bare.layers["a"]
        self.assertEqual((scale.kind, scale.provider), (ChannelScale.kind, f"python.{__name__}"))
        self.assertEqual(scale.outputs, (("a", "", ()),))
        self.assertEqual([output.name for output in bare.layers["b"].outputs], ["b", "b:1"])
        self.assertIsNone(scale.parameters["weight"].role)
        np.testing.assert_array_equal(scale.parameters["weight"], [0.5, 0.5])
        for call in (lambda: bare.run(x), lambda: lamina.Trainer(bare).step(x, [0, 1]),
                     lambda: lamina.from_graph(bare.graph)):
            self.check_error(60, f"'{ChannelScale.kind}', usually supplied by plugin 'python.{__name__}'", call)

    def test_the_example_trains(self):
        found = subprocess.run([sys.executable, ROOT / "examples/python/own_layer.py"], stdout=subprocess.PIPE,
                               text=True, check=True,
                               env={**os.environ, "PYTHONPATH": str(ROOT / "examples/python")}).stdout
        losses = [float(line.split()[-1]) for line in found.splitlines() if line.startswith("epoch")]
        self.assertEqual(losses, sorted(losses, reverse=True))
        self.assertEqual(len(losses), 3)
        self.assertIn("relu1: a = [", found)

    def test_classes_that_make_no_sense_are_refused(self):
        def made(**members):
            return type("Made", (lamina.Layer,), {"kind": "com.example.made", **members})

        context = lamina.Context(threads=1)
        for layer, text in [(made(kind=3), "class Made: expected a kind such as"),
                            (made(kind="made"), "expected kind to be a name such as 'com.example.mish', found 'made'"),
                            (made(version=0), "expected kind_version of 1 or more, found 0"),
                            (made(input_count=(3, 2)), "expected minimum_inputs of at most 2, found 3"),
                            (made(attributes={"forward": 1}), "no attribute can be named 'forward'"),
                            (made(attributes={"a": None}), "or list of numbers, found NoneType"),
                            (made(backward_reads=("gradients",)), "found 'gradients'"), (3, "expected a class"),
                            (dict, "expected a class derived from lamina.Layer")]:
            with self.assertRaises(lamina.Error) as caught:
                context.register(layer)
            self.assertIn(text, caught.exception.message)
        lazy = context.register(made(kind="com.example.lazy"))
        model = lamina.from_graph(graph(("a", lazy.kind, ["x"], {})), context=context)
        self.check_error(10, "NotImplementedError: expected a method forward in class Made",
                         lambda: model.run(np.ones((1, 2), np.float32)))
        self.assertNotIn("com.example.lazy", lamina.layers())

    def test_a_layer_without_backward_cannot_be_trained_through(self):
        context = lamina.Context(threads=1)

        @context.register
        class Forward(lamina.Layer):
            kind = "com.example.forward"

            def forward(self, call):
                return call.inputs[0]

        model = lamina.from_graph(graph(("fc", "lamina.dense", ["x"], {"out_features": 3}),
                                        ("a", Forward.kind, ["fc"], {})), context=context)
        x = np.ones((1, 2), np.float32)
        self.check_error(80, "a (com.example.forward)", lambda: lamina.Trainer(model).step(x, [0]))

    def test_a_class_replaces_another_when_that_is_said(self):
        def doubling(factor):
            class Doubling(lamina.Layer):
                kind = "com.example.doubling"

                def forward(self, call):
                    return call.inputs[0] * factor

            return Doubling

        context = lamina.Context(threads=1)
        x = np.ones((1, 2), np.float32)
        context.register(context.register(doubling(2)))
        first = lamina.from_graph(graph(("a", "com.example.doubling", ["x"], {})), context=context)
        self.check_error(10, "already supplied by", lambda: context.register(doubling(4)))
        context.register(doubling(4), replace=True)
        second = lamina.from_graph(first.graph, context=context)
        self.assertEqual([model.run(x)[0].tolist() for model in (first, second)], [[[2, 2]], [[4, 4]]])

    def test_layers_go_with_their_models(self):
        from lamina import _layers
        before = len(_layers._layers)
        for _ in range(20):
            self.model(("a", Mish.kind, ["x"], {})).run(np.ones((1, 2), np.float32))
        gc.collect()
        self.assertLessEqual(len(_layers._layers), before + 2)

    def test_arrays_of_a_call_may_be_kept(self):
        kept = []

        class Keeping(lamina.Layer):
            kind = "com.example.keeping"

            def forward(self, call):
                kept.append(call.inputs[0])
                call.inputs[0] *= 2
                return call.inputs[0]

        context = lamina.Context(threads=1, layers=[Keeping])
        model = lamina.from_graph(graph(("a", Keeping.kind, ["x"], {})), context=context)
        x = np.ones((1, 2), np.float32)
        self.assertEqual(model.run(x)[0].tolist(), [[2, 2]])
        self.assertEqual(x.tolist(), [[1, 1]])
        del model
        gc.collect()
        self.assertEqual(kept[0].tolist(), [[2, 2]])

    def test_a_layer_may_run_another_model(self):
        inner = self.model(("a", Mish.kind, ["x"], {}), ("fc", "lamina.dense", ["a"], {"out_features": 2}))

        class Outer(lamina.Layer):
            kind = "com.example.outer"

            def forward(self, call):
                return inner.run(call.inputs[0])[0]

        self.context.register(Outer)
        x = np.ones((8, 2), np.float32)
        model = self.model(("a", Outer.kind, ["x"], {}))
        np.testing.assert_array_equal(model.run(x)[0], inner.run(x)[0])

    def test_threads_call_layers_at_once(self):
        x = np.random.default_rng(0).standard_normal((16, 4), np.float32)
        model = self.model(("a", Mish.kind, ["x"], {}), ("b", ChannelScale.kind, ["a"], {}), shape=("batch", 4))
        failing = self.model(("a", Odd.kind, ["x"], {"how": "raise"}))
        [expected] = model.run(x)
        wrong = []

        def work():
            for _ in range(50):
                if not np.array_equal(model.run(x)[0], expected):
                    wrong.append("result")
                try:
                    failing.run(x[:, :2])
                    wrong.append("no error")
                except lamina.Error as error:
                    if not isinstance(error.__cause__, ZeroDivisionError):
                        wrong.append("cause")

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])


if __name__ == "__main__":
    unittest.main()
