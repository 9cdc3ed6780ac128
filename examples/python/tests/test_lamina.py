"""The Python package against the installed library: `python3 -m unittest discover -s examples/python/tests`."""

import gc
import os
import pickle
import tempfile
import threading
import unittest
from pathlib import Path

try:
    import numpy as np
except ImportError as error:
    raise unittest.SkipTest("skipped: no NumPy") from error

import lamina


class ModelTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = lamina.create("mnist_cnn", seed=7)
        cls.batch = np.random.default_rng(0).standard_normal((3, 1, 28, 28), np.float32)
        cls.folder = tempfile.TemporaryDirectory()
        cls.path = Path(cls.folder.name) / "digits.safetensors"
        cls.model.save(cls.path)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_library_knows_itself(self):
        self.assertRegex(lamina.version(), r"^\d+\.\d+\.\d+$")
        self.assertIn("resnet50", lamina.architectures())
        kinds = lamina.layers()
        self.assertEqual(kinds, sorted(kinds))
        self.assertIn("lamina.conv2d", kinds)

    def test_facts(self):
        self.assertEqual(self.model.name, "mnist_cnn")
        self.assertEqual(self.model.inputs, [("input", "float32", ("batch", 1, 28, 28))])
        self.assertEqual(self.model.outputs, [("output", "float32", ("batch", 10))])
        self.assertEqual(self.model.labels, [str(digit) for digit in range(10)])
        self.assertEqual(self.model.preprocessing["channel_order"], "gray")
        self.assertIn("relu1", self.model.value_names)
        self.assertIn("conv1", self.model.summary())
        self.assertEqual(self.model.summary(as_json=True)["name"], "mnist_cnn")
        self.assertIn("conv1", self.model.explain(self.batch))
        self.assertEqual(repr(self.model), "<lamina.Model mnist_cnn: 376870 parameters>")

    def test_saved_models_give_the_same_answers(self):
        [expected] = self.model.run(self.batch)
        self.assertEqual(expected.shape, (3, 10))
        for source in (self.path, str(self.path), self.path.read_bytes()):
            [found] = lamina.load(source, threads=1).run({"input": self.batch})
            np.testing.assert_array_equal(found, expected)

    def test_batches_of_any_size(self):
        [expected] = self.model.run(self.batch)
        for count in (1, 3, 2):
            [found] = self.model.run(self.batch[:count])
            np.testing.assert_allclose(found, expected[:count], rtol=1e-4, atol=1e-5)

    def test_inputs_need_not_be_contiguous(self):
        [expected] = self.model.run(self.batch)
        strided = np.asfortranarray(self.batch)
        np.testing.assert_array_equal(self.model.run(strided)[0], expected)
        np.testing.assert_array_equal(self.model.run(self.batch.tolist())[0], expected)
        np.testing.assert_array_equal(self.model.run(self.batch.astype(">f4"))[0], expected)

    def test_values_by_name(self):
        relu, output = self.model.run(self.batch, outputs=["relu1", "output"])
        self.assertEqual(relu.shape, (3, 8, 26, 26))
        self.assertGreaterEqual(relu.min(), 0)
        np.testing.assert_allclose(output, self.model.run(self.batch)[0], rtol=1e-4, atol=1e-5)

    def test_inputs_may_be_read_only(self):
        [expected] = self.model.run(self.batch)
        frozen = self.batch.copy()
        frozen.flags.writeable = False
        np.testing.assert_array_equal(self.model.run(frozen)[0], expected)

    def test_results_are_not_written_again(self):
        [first] = self.model.run(self.batch)
        copy = first.copy()
        [second] = self.model.run(-self.batch)
        np.testing.assert_array_equal(first, copy)
        self.assertFalse(np.array_equal(first, second))

    def test_errors_leave_the_session_usable(self):
        [expected] = self.model.run(self.batch)
        for _ in range(3):
            with self.assertRaises(lamina.Error):
                self.model.run(self.batch[:, :, 1:])
            np.testing.assert_array_equal(self.model.run(self.batch)[0], expected)

    def test_bound_arrays_are_used_again(self):
        batch = self.batch.copy()
        run = self.model.bind(batch)
        [first] = run()
        np.testing.assert_array_equal(first, self.model.run(batch)[0])
        batch *= -1
        self.assertIs(run()[0], first)
        np.testing.assert_array_equal(first, self.model.run(batch)[0])
        self.check_error(10, "input input: expected an array that is contiguous",
                         lambda: self.model.bind(batch[:, :, ::-1]))
        self.assertEqual(self.model.bind({"input": batch}, outputs=["relu1"])()[0].shape, (3, 8, 26, 26))

    def check_error(self, code, text, call):
        with self.assertRaises(lamina.Error) as caught:
            call()
        self.assertEqual(caught.exception.code, code)
        self.assertIn(text, caught.exception.message)

    def test_errors_say_what_is_wrong(self):
        run = self.model.run
        self.check_error(40, "expected float32, found float64", lambda: run(self.batch.astype(float)))
        self.check_error(40, "input input", lambda: run(self.batch[:, :, 1:]))
        self.check_error(60, "nearest is 'input'", lambda: run({"inputs": self.batch}))
        self.check_error(60, "relu9", lambda: run(self.batch, outputs=["relu9"]))
        self.check_error(10, "no tensor can hold", lambda: run(self.batch.astype(complex)))
        self.check_error(60, "no such file", lambda: lamina.load("/no/such/file"))
        self.check_error(60, "nearest is 'resnet50'", lambda: lamina.create("resnet51"))
        self.check_error(80, "found f16", lambda: lamina.load(self.path, precision="f16"))
        self.check_error(10, "uint8 [height, width, 3]", lambda: self.model.predict(self.batch))
        self.check_error(10, "at least 1", lambda: self.model.predict(np.zeros((28, 28, 3), np.uint8), 0))
        error = pickle.loads(pickle.dumps(lamina.Error(60, "text")))
        self.assertEqual((error.code, error.message), (60, "text"))

    def test_predictions(self):
        pixels = np.arange(28 * 28 * 3, dtype=np.uint8).reshape(28, 28, 3)
        found = self.model.predict(pixels, top=10)
        self.assertEqual(sorted(label for label, _ in found), self.model.labels)
        self.assertEqual(sorted(found, key=lambda pair: -pair[1]), found)
        self.assertAlmostEqual(sum(probability for _, probability in found), 1, places=5)
        self.assertEqual(self.model.predict(pixels), found[:5])
        batch = self.model.preprocess([pixels, pixels])
        self.assertEqual(batch.shape, (2, 1, 28, 28))
        [logits] = self.model.run(batch[:1])
        self.assertEqual(str(logits.argmax()), found[0][0])

    def test_weights_labels_and_preprocessing_replace_the_model(self):
        model = lamina.create("mnist_cnn", classes=3)
        with self.assertRaises(lamina.Error) as caught:
            model.load_weights(self.path)
        self.assertEqual(caught.exception.code, 100)
        report = model.load_weights(self.path, keep=["fc2.*", "norm2.*"])
        self.assertEqual(report["missing"], [])
        self.assertIn("fc2.weight", report["reinitialised"])
        model.labels = ["a", "b", "ç"]
        recipe = dict(model.preprocessing, mean=[0.0], std=[1.0])
        model.preprocessing = recipe
        self.assertEqual(model.labels, ["a", "b", "ç"])
        pixels = np.full((28, 28, 3), 255, np.uint8)
        np.testing.assert_array_equal(model.preprocess(pixels), np.ones((1, 1, 28, 28), np.float32))
        self.assertEqual(len(model.predict(pixels)), 3)
        relu = model.run(self.batch, outputs=["relu2"])[0]
        np.testing.assert_allclose(relu, self.model.run(self.batch, outputs=["relu2"])[0],
                                   rtol=1e-5, atol=1e-6)

    def test_exported_models_give_the_same_answers(self):
        [expected] = self.model.run(self.batch)
        folder = Path(self.folder.name)
        self.model.export(folder / "digits.onnx")
        [found] = lamina.load(folder / "digits.onnx").run(self.batch)
        np.testing.assert_allclose(found, expected, atol=1e-5)
        self.model.export(folder / "digits.npz")
        with np.load(folder / "digits.npz") as arrays:
            self.assertEqual(arrays["conv1.weight"].dtype, np.float32)
            renamed = {f"net/{name}": arrays[name] for name in arrays.files}
        np.savez_compressed(folder / "renamed.npz", **renamed)
        (folder / "rules").write_text("net/* -> *\n")
        other = lamina.create("mnist_cnn", seed=8)
        report = other.load_weights(folder / "renamed.npz", rules=folder / "rules")
        self.assertEqual(report["missing"], [])
        np.testing.assert_array_equal(other.run(self.batch)[0], expected)

    def test_threads_share_a_model(self):
        [expected] = self.model.run(self.batch)
        wrong = []

        def work():
            for _ in range(50):
                if not np.array_equal(self.model.run(self.batch)[0], expected):
                    wrong.append(threading.get_ident())

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])

    def test_results_outlive_their_model(self):
        model = lamina.load(self.path)
        [output] = model.run(self.batch)
        expected = output.copy()
        del model
        gc.collect()
        np.testing.assert_array_equal(output, expected)

    @unittest.skipUnless(hasattr(os, "fork"), "no fork")
    def test_children_of_a_fork_go_on(self):
        [expected] = self.model.run(self.batch)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                agrees = np.array_equal(self.model.run(self.batch)[0], expected)
                fresh = lamina.load(self.path).run(self.batch)[0]
                status = 0 if agrees and np.array_equal(fresh, expected) else 2
            finally:
                os._exit(status)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)


if __name__ == "__main__":
    unittest.main()
