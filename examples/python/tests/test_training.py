"""Training from Python against the installed library: `python3 -m unittest discover -s examples/python/tests`."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
import zlib
from pathlib import Path

try:
    import numpy as np
except ImportError as error:
    raise unittest.SkipTest("skipped: no NumPy") from error

import lamina

EXAMPLES = Path(__file__).resolve().parents[2]


def write_png(path, pixels):
    """Writes uint8 [height, width, 3] as PNG."""
    def chunk(kind, data):
        body = kind + data
        return len(data).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")

    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows))
                     + chunk(b"IEND", b""))


def write_photos(folder, classes=("bright", "dark"), count=10):
    random = np.random.default_rng(1)
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            pixels = random.integers(0, 60, (28, 28, 3), np.uint8)
            pixels[:, :14] += 180 if number == 0 else 0
            pixels[:, 14:] += 0 if number == 0 else 180
            write_png(folder / name / f"{index}.png", pixels)


class TrainingTests(unittest.TestCase):
    def setUp(self):
        self.model = lamina.create("lenet5", seed=7)
        random = np.random.default_rng(0)
        self.classes = np.arange(24) % 10
        self.items = random.standard_normal((24, 1, 28, 28), np.float32)
        for item, label in zip(self.items, self.classes):
            item[0, 2 * label] += 4
        self.data = lamina.Dataset.from_arrays(self.items, self.classes, validation=4)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def weights(self, model):
        path = self.folder / "weights"
        model.save(path)
        return path.read_bytes()

    def answer(self, model, picture):
        [(label, _)] = lamina.load(self.folder / model).predict(picture, top=1)
        return label

    def trainer(self, **options):
        return lamina.Trainer(self.model, self.data, **{"epochs": 2, "batch_size": 5, **options})

    def test_data(self):
        self.assertEqual((self.data.training_count, self.data.validation_count, self.data.labels), (20, 4, []))
        self.assertEqual(repr(self.data), "<lamina.Dataset: 20 items to train with, 4 to check with>")
        with self.assertRaises(lamina.Error):
            lamina.Dataset.from_arrays(self.items, self.classes[:3])
        with self.assertRaises(lamina.Error):
            lamina.Dataset(self.folder / "none")
        with self.assertRaises(lamina.Error) as caught:
            lamina.Dataset(self.folder, broken="ignore")
        self.assertEqual(caught.exception.message, "expected a policy of error, skip, replace, found 'ignore'")

    def test_a_model_learns(self):
        trainer = self.trainer(epochs=6)
        told = []
        self.assertEqual(trainer.fit(lambda progress: told.append(progress)), "completed")
        self.assertEqual([progress.event for progress in told], (["batch"] * 4 + ["epoch"]) * 6)
        history = trainer.history
        self.assertEqual(len(history), 6)
        self.assertLess(history[-1]["loss"], history[0]["loss"])
        self.assertEqual(told[-1].validation_loss, history[-1]["val_loss"])
        self.assertEqual(trainer.evaluate().loss, history[-1]["val_loss"])
        self.assertEqual(trainer.evaluate(self.data).count, 4)
        self.assertEqual(lamina.evaluate(trainer.model, self.data), trainer.evaluate())
        self.assertEqual(trainer.messages, [])

    def test_functions_read_items_when_they_are_needed(self):
        expected = self.trainer()
        expected.fit()
        data = lamina.Dataset.from_function(lambda index: self.items[index], self.classes, (1, 28, 28), validation=4)
        trainer = lamina.Trainer(self.model, data, epochs=2, batch_size=5)
        trainer.fit()
        self.assertEqual(self.weights(trainer.model), self.weights(expected.model))

        def broken(index):
            if index == 3:
                raise ValueError("no item 3")
            return self.items[index]

        data = lamina.Dataset.from_function(broken, self.classes, (1, 28, 28))
        with self.assertRaisesRegex(ValueError, "no item 3"):
            lamina.Trainer(self.model, data).fit()

    def test_cancelled_training_goes_on(self):
        whole = self.trainer()
        whole.fit()
        parts = self.trainer()
        self.assertEqual(parts.fit(lambda progress: False), "cancelled")
        threading.Thread(target=parts.cancel).start()
        self.assertIn(parts.fit(), ("cancelled", "completed"))
        while parts.fit() != "completed":
            pass
        self.assertEqual(self.weights(parts.model), self.weights(whole.model))

    def test_what_progress_raises_comes_out_and_interruptions_finish_the_batch(self):
        trainer = self.trainer()

        def fail(_progress):
            raise ZeroDivisionError("mine")

        with self.assertRaisesRegex(ZeroDivisionError, "mine"):
            trainer.fit(fail)
        handler = signal.getsignal(signal.SIGINT)
        with self.assertRaises(KeyboardInterrupt):
            trainer.fit(lambda progress: os.kill(os.getpid(), signal.SIGINT))
        self.assertIs(signal.getsignal(signal.SIGINT), handler)
        whole = self.trainer()
        whole.fit()
        trainer.fit()
        self.assertEqual(self.weights(trainer.model), self.weights(whole.model))

    def test_frozen_layers_stay(self):
        trainer = self.trainer(frozen=["conv1"], learning_rate=0.1)
        trainer.freeze("*.bias")
        trainer.unfreeze("fc3")
        self.assertNotIn("conv1.weight", trainer.parameters)
        self.assertEqual(trainer.parameters["fc3.bias"], ("weight", (10,)))
        before = {key: trainer.value(key) for key in ("conv1.weight", "fc1.bias", "fc3.weight")}
        trainer.fit()
        np.testing.assert_array_equal(trainer.value("conv1.weight"), before["conv1.weight"])
        np.testing.assert_array_equal(trainer.value("fc1.bias"), before["fc1.bias"])
        self.assertFalse(np.array_equal(trainer.value("fc3.weight"), before["fc3.weight"]))
        other = self.trainer()
        other.freeze_trunk()
        self.assertEqual(list(other.parameters), ["fc3.weight", "fc3.bias"])
        third = self.trainer()
        third.freeze_up_to("conv1")
        self.assertNotIn("conv1.weight", third.parameters)

    def test_steps_of_ones_own(self):
        trainer = lamina.Trainer(self.model, optimizer="sgd", learning_rate=0.5, momentum=0)
        losses = []
        for _ in range(4):
            losses.append(trainer.step(self.items[:8], self.classes[:8]))
            expected = trainer.value("fc3.bias") - 0.5 * trainer.gradient("fc3.bias")
            trainer.apply()
            np.testing.assert_allclose(trainer.value("fc3.bias"), expected, rtol=1e-6, atol=1e-7)
        self.assertLess(losses[-1], losses[0])
        shares = np.eye(10, dtype=np.float32)[self.classes[:8]]
        self.assertAlmostEqual(trainer.step(self.items[:8], shares), trainer.step(self.items[:8], self.classes[:8]), 6)
        with self.assertRaises(lamina.Error) as caught:
            trainer.gradient("fc3.weigth")
        self.assertIn("nearest is 'fc3.weight'", caught.exception.message)

    def test_checkpoints(self):
        whole = self.trainer()
        whole.fit()
        part = self.trainer(checkpoints=self.folder / "saved")
        part.fit(lambda progress: progress.step < 3)
        del part
        again = self.trainer(checkpoints=self.folder / "saved", resume=True)
        self.assertEqual(again.fit(), "completed")
        self.assertEqual(self.weights(again.model), self.weights(whole.model))

    def test_command_line_c_and_python_fine_tune_to_the_same_bytes(self):
        photos = self.folder / "photos"
        write_photos(photos)
        self.model.save(self.folder / "digits.safetensors")
        mine = lamina.finetune(self.folder / "digits.safetensors", photos, head_epochs=2, epochs=1, batch_size=4,
                               seed=5)
        mine.save(self.folder / "python.safetensors")
        self.assertEqual(mine.labels, ["bright", "dark"])
        self.assertEqual([(line["stage"], line["epoch"]) for line in mine.history],
                         [("head", 1), ("head", 2), ("all", 1)])
        prefix = Path(os.environ.get("LAMINA_LIBRARY", "")).resolve().parents[1]
        program = prefix / "bin" / "lamina"
        if not program.exists():
            self.skipTest("skipped: runs in make test")
        subprocess.run([program, "finetune", "digits.safetensors", "photos", "-o", "tool.safetensors",
                        "--head-epochs", "2", "--epochs", "1", "--batch", "4", "--seed", "5", "--threads", "1"],
                       cwd=self.folder, check=True, capture_output=True)
        expected = (self.folder / "python.safetensors").read_bytes()
        self.assertEqual((self.folder / "tool.safetensors").read_bytes(), expected)
        source = self.folder / "same.c"
        source.write_text(SAME_IN_C)
        environment = {**os.environ, "PKG_CONFIG_PATH": str(prefix / "lib/pkgconfig"),
                       "LD_LIBRARY_PATH": str(prefix / "lib")}
        subprocess.run("cc -Wall -Werror same.c $(pkg-config --cflags --libs lamina) -o same && ./same", shell=True,
                       cwd=self.folder, env=environment, check=True)
        self.assertEqual((self.folder / "c.safetensors").read_bytes(), expected)

    def test_examples_run_as_printed(self):
        photos = self.folder / "photos"
        write_photos(photos, count=150)
        self.model.save(self.folder / "digits.safetensors")
        (photos / "dark" / "broken.png").write_bytes(b"no picture")
        script = EXAMPLES / "python" / "finetune.py"
        done = subprocess.run([sys.executable, script, "digits.safetensors", "photos", "mine.safetensors"], check=True,
                              cwd=self.folder, capture_output=True, text=True)
        lines = done.stdout.splitlines()
        self.assertEqual(len(lines), 9)
        self.assertTrue(lines[0].startswith("head 1/5  loss "))
        self.assertEqual(lines[-1], "wrote mine.safetensors")
        self.assertEqual(self.answer("mine.safetensors", photos / "dark/0.png"), "dark")
        failed = subprocess.run([sys.executable, script, "none", "photos", "x"], cwd=self.folder, capture_output=True,
                                text=True)
        self.assertEqual(failed.returncode, 1)
        self.assertEqual(failed.stderr.splitlines()[-1], "finetune.py: none: no such file or directory")
        prefix = Path(os.environ.get("LAMINA_LIBRARY", "")).resolve().parents[1]
        if not (prefix / "lib" / "pkgconfig").exists() or not shutil.which("cc"):
            self.skipTest("skipped: runs in make test")
        environment = {**os.environ, "PKG_CONFIG_PATH": str(prefix / "lib/pkgconfig"),
                       "LD_LIBRARY_PATH": str(prefix / "lib")}
        shutil.copytree(EXAMPLES / "c", self.folder / "c")
        subprocess.run(["make", "-s", "-C", "c", "finetune"], cwd=self.folder, env=environment, check=True)
        done = subprocess.run(["c/finetune", "digits.safetensors", "photos", "c.safetensors"], cwd=self.folder,
                              check=True, env=environment, capture_output=True, text=True)
        lines = done.stdout.splitlines()
        self.assertEqual(len(lines), 8)
        self.assertTrue(lines[7].startswith("epoch 8/8  loss "))
        self.assertEqual(self.answer("c.safetensors", photos / "dark/0.png"), "dark")

    @unittest.skipUnless(hasattr(os, "fork"), "no fork")
    def test_children_of_a_fork_go_on(self):
        photos = self.folder / "photos"
        write_photos(photos)
        model = lamina.create("lenet5", seed=7)
        model.replace_head(["bright", "dark"])
        trainer = lamina.Trainer(model, photos, epochs=2, batch_size=4)
        trainer.fit(lambda progress: False)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                status = 0 if trainer.fit() == "completed" else 2
            finally:
                os._exit(status)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
        self.assertEqual(trainer.fit(), "completed")


SAME_IN_C = """
#include <lamina/lamina_training.h>
#include <stdio.h>

int main(void) {
  lamina_error error = LAMINA_ERROR_INIT;
  lamina_context context = 0;
  lamina_model model = 0, fitted = 0;
  lamina_dataset photos = 0;
  lamina_dataset_options reading = LAMINA_DATASET_OPTIONS_INIT;
  reading.seed = 5;
  lamina_trainer_options training = LAMINA_TRAINER_OPTIONS_INIT;
  training.epochs = 1;
  training.batch_size = 4;
  training.seed = 5;
  lamina_finetune_options options = LAMINA_FINETUNE_OPTIONS_INIT;
  options.head_epochs = 2;
  options.trainer = &training;
  if (lamina_context_create(NULL, &context, &error) ||
      lamina_model_load(context, "digits.safetensors", &model, &error) ||
      lamina_dataset_open(context, "photos", &reading, &photos, &error) ||
      lamina_finetune(model, photos, 0, &options, NULL, NULL, &fitted, NULL, &error) ||
      lamina_model_save(fitted, "c.safetensors", &error)) {
    fprintf(stderr, "%s\\n", error.message);
    return 1;
  }
  return 0;
}
"""


if __name__ == "__main__":
    unittest.main()
