"""What the comparison with other engines does with its figures."""

import sys
import tempfile
import unittest
from pathlib import Path
from types import SimpleNamespace

try:
    import numpy as np
except ImportError as error:
    raise unittest.SkipTest("skipped: no NumPy") from error

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import side_by_side  # noqa: E402


class SideBySideTests(unittest.TestCase):
    def test_differences_are_relative_to_the_range(self):
        expected = np.array([[-1, 0, 3]], np.float32)
        self.assertEqual(side_by_side.difference(expected, expected), 0)
        self.assertAlmostEqual(side_by_side.difference(expected + 0.25, expected), 0.0625)
        self.assertEqual(side_by_side.difference(expected[0], expected), float("inf"))
        self.assertEqual(side_by_side.difference(expected * np.nan, expected), float("inf"))

    def test_figures_replace_what_is_between_the_marks(self):
        page = "# Title\n<!-- figures -->\nold\n<!-- end of figures -->\nrest\n"
        once = side_by_side.insert(page, "new\n")
        self.assertEqual(once, page.replace("old", "new"))
        self.assertEqual(side_by_side.insert(once, "new\n"), once)
        self.assertEqual(side_by_side.insert("no marks", "new\n"), "new\n")
        readme = Path(side_by_side.__file__).with_name("README.md").read_text()
        self.assertIn("new\n", side_by_side.insert(readme, "new\n"))
        self.assertTrue(side_by_side.insert(readme, "new\n").startswith("# Lamina beside"))

    def test_tables(self):
        rows = {"lamina": {"ms": 2.0, "agrees": True, "difference": 0.0},
                "ncnn": {"ms": 5.0, "agrees": False, "difference": 2e-4},
                "pytorch": {"failure": "not installed"}}
        self.assertEqual(side_by_side.against_best(rows), 2.5)
        self.assertIsNone(side_by_side.against_best({"lamina": {"ms": 2.0}}))
        text = side_by_side.markdown({
            "engines": ["lamina", "pytorch", "ncnn"], "start_network": "resnet50", "threads": 2,
            "networks": [{"network": "lenet5", "batch": 1, "engines": rows}], "stolen": 0.001,
            "start": {"lamina": {"first_s": 0.25, "memory_mib": 164.2}}, "date": "2026-11-21",
            "machine": "a machine", "versions": {"lamina": "0.1.0", "ncnn": "1"}})
        self.assertIn("| lenet5 | 1 | **2** | — | 5 (differs by 2e-04) | 2.50 × |\n", text)
        self.assertIn("| first result after, s | 0.25 | — | — |\n", text)
        self.assertIn("| peak memory, MiB | 164 | — | — |\n", text)
        self.assertTrue(text.endswith("2026-11-21; a machine; 2 threads, float32; Lamina 0.1.0, ncnn 1. "
                                      "Other machines took 0.1% of the processor time.\n"))

    def test_an_engine_that_ends_says_why(self):
        with tempfile.TemporaryDirectory() as folder:
            options = SimpleNamespace(temporary=folder, networks=Path(folder), threads=1)
            with self.assertRaises(side_by_side.Failure) as caught:
                side_by_side.Worker("lamina", "lenet5", 1, options)
        self.assertIn("lenet5.onnx: no such file or directory", str(caught.exception))
