"""Arrays of other libraries, by DLPack."""

import gc
import unittest

try:
    import numpy as np
except ImportError as error:
    raise unittest.SkipTest("skipped: no NumPy") from error

import lamina


class Foreign:
    """An array of another library: it has `__dlpack__` and nothing else."""

    def __init__(self, array, device=(1, 0)):
        self.array = array
        self.device = device

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.device


class DLPackTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = lamina.create("mnist_cnn", seed=7)
        cls.batch = np.random.default_rng(0).standard_normal((3, 1, 28, 28), np.float32)
        [cls.expected] = cls.model.run(cls.batch)

    def check_error(self, text, call):
        with self.assertRaises(lamina.Error) as caught:
            call()
        self.assertEqual(caught.exception.message, text)
        self.assertEqual(caught.exception.code, 10)

    def test_inputs_come_from_any_library(self):
        for given in (Foreign(self.batch), {"input": Foreign(self.batch)}):
            np.testing.assert_array_equal(self.model.run(given)[0], self.expected)

    def test_inputs_are_not_copied(self):
        batch = self.batch.copy()
        array = self.model._array("input", Foreign(batch))
        self.assertTrue(np.shares_memory(array, batch))
        run = self.model.bind(Foreign(batch))
        np.testing.assert_array_equal(run()[0], self.expected)
        batch[:] = self.batch[::-1]
        del array
        gc.collect()
        np.testing.assert_allclose(run()[0], self.expected[::-1], rtol=1e-4, atol=1e-5)

    def test_strides_are_copied_or_refused(self):
        strided = np.repeat(self.batch, 2, axis=3)[..., ::2]
        np.testing.assert_array_equal(self.model.run(Foreign(strided))[0], self.expected)
        self.check_error("input input: expected an array that is contiguous and aligned",
                         lambda: self.model.bind(Foreign(strided)))

    def test_what_may_not_be_written_is_read(self):
        frozen = self.batch.copy()
        frozen.flags.writeable = False
        try:
            np.from_dlpack(Foreign(frozen))
        except BufferError:
            # Before NumPy 2.1 read-only arrays were not handed out.
            with self.assertRaisesRegex(lamina.Error, "^input input: expected a tensor that NumPy can share, found F"):
                self.model.run(Foreign(frozen))
        else:
            np.testing.assert_array_equal(self.model.run(Foreign(frozen))[0], self.expected)
            np.testing.assert_array_equal(self.model.bind(Foreign(frozen))()[0], self.expected)

    def test_tensors_elsewhere_are_refused(self):
        self.check_error("input input: expected a tensor in the processor's memory, found one on a CUDA device",
                         lambda: self.model.run(Foreign(self.batch, (2, 0))))
        self.check_error("input input: expected a tensor in the processor's memory, found one on a Metal device",
                         lambda: self.model.bind(Foreign(self.batch, (8, 0))))

    def test_types_are_checked(self):
        with self.assertRaises(lamina.Error) as caught:
            self.model.run(Foreign(self.batch.astype(np.float64)))
        self.assertIn("expected float32, found float64", caught.exception.message)
        self.check_error("input input: no tensor can hold complex64 (3, 1, 28, 28)",
                         lambda: self.model.run(Foreign(self.batch.astype(np.complex64))))

        class Broken(Foreign):
            def __dlpack__(self, **options):
                raise BufferError("no way out.")

        self.check_error("input input: expected a tensor that NumPy can share, found Broken: no way out",
                         lambda: self.model.run(Broken(self.batch)))

    def test_pictures_come_from_any_library(self):
        pixels = np.arange(28 * 28 * 3, dtype=np.uint8).reshape(28, 28, 3)
        self.assertEqual(self.model.predict(Foreign(pixels)), self.model.predict(pixels))
        np.testing.assert_array_equal(self.model.preprocess([Foreign(pixels)]), self.model.preprocess(pixels))

    def test_results_go_to_any_library(self):
        [output] = self.model.run(self.batch)
        self.assertEqual(output.__dlpack_device__()[0], 1)
        other = np.from_dlpack(Foreign(output))
        self.assertTrue(np.shares_memory(other, output))
        del output
        gc.collect()
        np.testing.assert_array_equal(other, self.expected)

    def test_training_takes_them_as_well(self):
        losses = []
        for given, labels in ((self.batch, np.array([1, 2, 3])), (Foreign(self.batch), Foreign(np.array([1, 2, 3])))):
            losses.append(lamina.Trainer(self.model).step(given, labels))
        self.assertEqual(losses[0], losses[1])
        data = lamina.Dataset.from_arrays(Foreign(self.batch), [0, 1, 2])
        self.assertEqual(data.training_count, 3)


class TorchTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        try:
            import torch
        except ImportError as error:
            raise unittest.SkipTest("skipped: no PyTorch") from error
        cls.torch = torch
        cls.model = lamina.create("mnist_cnn", seed=7)
        cls.batch = np.random.default_rng(0).standard_normal((3, 1, 28, 28), np.float32)
        [cls.expected] = cls.model.run(cls.batch)

    def test_tensors_go_in_and_out(self):
        torch = self.torch
        tensor = torch.from_numpy(self.batch.copy())
        [output] = self.model.run(tensor)
        np.testing.assert_array_equal(output, self.expected)
        self.assertTrue(np.shares_memory(self.model._array("input", tensor), tensor.numpy()))
        result = torch.from_dlpack(output)
        self.assertEqual(result.data_ptr(), output.ctypes.data)
        del output
        gc.collect()
        np.testing.assert_array_equal(result.numpy(), self.expected)
        np.testing.assert_array_equal(
            self.model.run(tensor.to(memory_format=torch.channels_last))[0], self.expected)
        weight = torch.from_dlpack(self.model.layers["conv1"].parameters["weight"])
        self.assertEqual(tuple(weight.shape), (8, 1, 3, 3))

    def test_tensors_that_cannot_be_shared_are_refused(self):
        torch = self.torch
        tensor = torch.from_numpy(self.batch.copy())
        for given, text in [(tensor.bfloat16(), "expected a tensor that NumPy can share, found torch.bfloat16"),
                            (tensor.requires_grad_(), "requires gradient|require gradient")]:
            with self.assertRaisesRegex(lamina.Error, text):
                self.model.run(given)

    def test_layers_may_compute_with_torch(self):
        torch = self.torch

        class Gelu(lamina.Layer):
            kind = "com.example.gelu"

            def forward(self, call):
                return torch.nn.functional.gelu(torch.from_dlpack(call.inputs[0])).numpy()

            def backward(self, call):
                x = torch.from_dlpack(call.inputs[0]).requires_grad_()
                torch.nn.functional.gelu(x).backward(torch.from_dlpack(call.output_gradients[0]))
                return x.grad.numpy()

        context = lamina.Context(threads=1, layers=[Gelu])
        graph = self.model.graph
        graph["outputs"], graph["nodes"] = ["relu1"], graph["nodes"][:2]
        graph["nodes"][1]["kind"] = Gelu.kind
        found = lamina.from_graph(graph, seed=1, context=context).run(self.batch)[0]
        graph["nodes"][1]["kind"] = "lamina.gelu"
        expected = lamina.from_graph(graph, seed=1).run(self.batch)[0]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


if __name__ == "__main__":
    unittest.main()
