"""Pickles, threads and types of the package."""

import copy
import importlib.util
import os
import pickle
import re
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

PACKAGE = Path(lamina.__file__).resolve().parent
ROOT = Path(__file__).resolve().parents[3]


class PickleTests(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "digits.safetensors"
        lamina.create("mnist_cnn", seed=7).save(self.path)
        self.model = lamina.load(self.path, threads=1)
        self.batch = np.random.default_rng(0).standard_normal((1, 1, 28, 28), np.float32)

    def check_error(self, code, text, call):
        with self.assertRaises(lamina.Error) as caught:
            call()
        self.assertIn(text, caught.exception.message)
        self.assertEqual(caught.exception.code, code)

    def test_a_pickle_is_a_path_and_a_hash(self):
        [expected] = self.model.run(self.batch)
        data = pickle.dumps(self.model)
        self.assertLess(len(data), 1000)
        self.assertIn(str(self.path).encode(), data)
        for found in (pickle.loads(data), copy.deepcopy(self.model)):
            np.testing.assert_array_equal(found.run(self.batch)[0], expected)
            self.assertIs(found._context, self.model._context)

    def test_pickles_work_in_other_processes(self):
        [expected] = self.model.run(self.batch)
        code = ("import pickle, sys; model, batch = pickle.load(sys.stdin.buffer); "
                "sys.stdout.buffer.write(pickle.dumps(model.run(batch)[0]))")
        search = os.pathsep.join([str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")])
        found = subprocess.run([sys.executable, "-c", code], input=pickle.dumps((self.model, self.batch)),
                               stdout=subprocess.PIPE, check=True, cwd="/", env={**os.environ, "PYTHONPATH": search})
        np.testing.assert_array_equal(pickle.loads(found.stdout), expected)

    def test_a_file_that_was_changed_is_refused(self):
        data = pickle.dumps(self.model)
        os.utime(self.path, (1, 1))
        self.assertEqual(pickle.loads(data).name, "mnist_cnn")
        self.check_error(30, f"{self.path}: expected the file of the model, found one that was changed since",
                         lambda: pickle.dumps(self.model))
        lamina.create("mnist_cnn", seed=8).save(self.path)
        self.check_error(30, f"{self.path}: expected the file of the pickled model, SHA-256 ",
                         lambda: pickle.loads(data))
        self.path.unlink()
        for call in (lambda: pickle.loads(data), lambda: pickle.dumps(self.model)):
            self.check_error(60, f"{self.path}: expected the file of the model, found none", call)

    def test_a_model_that_is_no_file_is_refused(self):
        text = "model mnist_cnn: expected one as it was loaded from a file"
        changed = lamina.load(self.path)
        changed.labels = list("abcdefghij")
        for model in (changed, lamina.create("mnist_cnn"), lamina.load(self.path.read_bytes())):
            self.check_error(30, text, lambda: pickle.dumps(model))


class ThreadTests(unittest.TestCase):
    def run_in(self, count, work):
        errors = []

        def guarded(number):
            try:
                work(number)
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return errors

    def test_models_may_change_while_they_run(self):
        model = lamina.create("mnist_cnn", seed=7)
        batch = np.random.default_rng(0).standard_normal((2, 1, 28, 28), np.float32)
        [expected] = model.run(batch)
        names = [str(index) * 2 for index in range(10)]

        def work(number):
            for _ in range(30):
                if number == 0:
                    model.labels = names
                found = model.run(batch, outputs=["relu1", "output"] if number % 2 else None)
                np.testing.assert_allclose(found[-1], expected, rtol=1e-4, atol=1e-5)
                self.assertEqual(len(model.labels), 10)

        self.assertEqual(self.run_in(6, work), [])
        self.assertEqual(model.labels, names)

    def test_a_trainer_is_for_one_thread_at_a_time(self):
        trainer = lamina.Trainer(lamina.create("mnist_cnn", seed=7))
        batch = np.random.default_rng(0).standard_normal((16, 1, 28, 28), np.float32)

        def work(_number):
            for _ in range(3):
                trainer.step(batch, np.arange(16) % 10)

        for error in self.run_in(4, work):
            self.assertIsInstance(error, lamina.Error)
            self.assertEqual(error.code, 140)
        self.assertGreater(trainer.step(batch, np.arange(16) % 10), 0)

    def test_contexts_come_and_go_in_threads(self):
        class Half(lamina.Layer):
            kind = "com.example.half"

            def forward(self, call):
                return call.inputs[0] / 2

        graph = {"format": "lamina.graph", "version": 1, "name": "half", "outputs": ["half"],
                 "inputs": [{"name": "x", "type": "float32", "shape": ["batch", 2]}],
                 "nodes": [{"name": "half", "kind": Half.kind, "inputs": ["x"]}]}

        def work(_number):
            for count in range(1, 20):
                context = lamina.Context(threads=1, layers=[Half])
                model = lamina.from_graph(graph, context=context)
                found = model.run(np.ones((count, 2), np.float32))[0]
                self.assertEqual((found.shape, found.sum()), ((count, 2), count))

        self.assertEqual(self.run_in(6, work), [])

    def test_contexts_are_shared_by_threads(self):
        found = []
        self.assertEqual(self.run_in(8, lambda _: found.append(lamina.create("lenet5", threads=3)._context)), [])
        self.assertEqual(len(set(map(id, found))), 1)


class TypeTests(unittest.TestCase):
    def test_structs_are_those_of_the_headers(self):
        from lamina import _library
        others = {"Error": "ErrorStruct", "Parameter": "PluginParameter", "FinetuneOptions": "FineTuneOptions"}
        unused = {"DecodedImage", "ImageDecoder", "ImageInfo", "Limits"}
        checked = 0
        for header in (ROOT / "include/lamina").glob("*.h"):
            for name, field, offset in re.findall(r"^LAMINA_ASSERT_OFFSET\((\w+), (\w+), (\d+)\);", header.read_text(),
                                                  re.MULTILINE):
                name = "".join(part.capitalize() for part in name.split("_")[1:])
                if name not in unused:
                    struct = getattr(_library, others.get(name, name))
                    self.assertEqual(getattr(struct, field).offset, int(offset), f"{name}.{field}")
                    checked += 1
        self.assertGreater(checked, 70)

    def test_everything_has_a_description(self):
        for name in lamina.__all__:
            item = getattr(lamina, name)
            self.assertTrue((item.__doc__ or "").strip(), name)
            for member, value in vars(item).items() if isinstance(item, type) else ():
                if not member.startswith("_") and (callable(value) or isinstance(value, property)):
                    self.assertTrue((value.__doc__ or "").strip(), f"{name}.{member}")
        self.assertTrue((PACKAGE / "py.typed").exists())

    @unittest.skipUnless(importlib.util.find_spec("mypy"), "skipped: no mypy")
    def test_types_are_complete(self):
        with tempfile.TemporaryDirectory() as folder:
            found = subprocess.run([sys.executable, "-m", "mypy", "--strict", "--cache-dir", folder, str(PACKAGE)],
                                   stdout=subprocess.PIPE, text=True)
        self.assertEqual(found.returncode, 0, found.stdout)


if __name__ == "__main__":
    unittest.main()
