"""Lamina and other engines side by side: speed, memory and start.

    side_by_side.py --networks DIRECTORY [NAME …]

`export_networks.py` fills DIRECTORY; `make bench-peers` does both. README.md beside this file tells what is measured.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

import numpy

from engine import ENGINES
from networks import NETWORKS

#: An engine's output may differ from ONNX Runtime's by this much of the range of that.
TOLERANCE = 1e-4


class Failure(Exception):
    """An engine that did not answer."""


class Worker:
    """An engine in its process, with one network loaded."""

    def __init__(self, engine, network, batch, options):
        here = Path(__file__).resolve().parent
        self.errors = tempfile.TemporaryFile("w+")
        self.output = Path(options.temporary, f"{engine}.npy")
        words = [engine, network, str(batch), str(options.threads), str(options.networks), str(self.output)]
        start = time.perf_counter()
        self.process = subprocess.Popen([sys.executable, str(here / "engine.py"), *words], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors)
        try:
            self.answer()
            #: Seconds from the start of the process to its first result.
            self.first = time.perf_counter() - start
            facts = self.answer()
        except Failure:
            self.close()
            raise
        self.memory, self.version = facts["memory"], facts["version"]

    def answer(self):
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        self.process.wait()
        self.errors.seek(0)
        lines = self.errors.read().strip().splitlines()
        raise Failure(lines[-1] if lines else f"ended with {self.process.returncode}")

    def ask(self, line):
        try:
            self.process.stdin.write(f"{line}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        return self.answer()

    def choose(self):
        """Lets the engine find its fastest way, and returns that and its result."""
        way = self.ask("choose")["way"]
        return way, numpy.load(self.output)

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()
        self.errors.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def stolen_and_total():
    """Processor time that other machines took from this one, and all of it, in ticks."""
    with open("/proc/stat") as file:
        ticks = [int(word) for word in file.readline().split()[1:9]]
    return ticks[7], sum(ticks)


def difference(found, expected):
    """The largest difference relative to the range of `expected`; infinite when a shape or number is wrong."""
    if found.shape != expected.shape or not numpy.isfinite(found).all():
        return float("inf")
    return float(numpy.abs(found - expected).max() / (expected.max() - expected.min()))


def compare(network, batch, options):
    """Times every engine on one network, in turns. Returns a dictionary by engine."""
    workers, rows = {}, {}
    try:
        for engine in options.engines:
            try:
                workers[engine] = Worker(engine, network, batch, options)
                way, output = workers[engine].choose()
            except Failure as failure:
                rows[engine] = {"failure": str(failure)}
                if engine in workers:
                    workers.pop(engine).close()
                continue
            time.sleep(options.pause)
            rows[engine] = {"way": way, "version": workers[engine].version, "output": output, "rounds": []}
        for _ in range(options.rounds):
            for engine, worker in workers.items():
                rows[engine]["rounds"].append(min(worker.ask(options.seconds)["times"]))
                time.sleep(options.pause)
    finally:
        for worker in workers.values():
            worker.close()
    reference = rows.get("onnxruntime", {}).get("output")
    for row in rows.values():
        output = row.pop("output", None)
        if output is None:
            continue
        row["ms"] = statistics.median(row["rounds"]) * 1e3
        if reference is not None:
            row["difference"] = difference(output, reference)
            row["agrees"] = row["difference"] <= TOLERANCE
    return rows


def start(network, options):
    """Peak memory and time to the first result, the medians of some starts that come in turns.

    Each is the second of two: the first finds files and pages of memory that others left cold.
    """
    found = {engine: [] for engine in options.engines}
    for _ in range(options.starts):
        for engine in options.engines:
            try:
                Worker(engine, network, 1, options).close()
                with Worker(engine, network, 1, options) as worker:
                    found[engine].append((worker.first, worker.memory))
            except Failure:
                continue
    return {engine: {"first_s": statistics.median(first for first, _ in pairs),
                     "memory_mib": statistics.median(memory for _, memory in pairs) / 2 ** 20}
            for engine, pairs in found.items() if pairs}


def machine():
    with open("/proc/cpuinfo") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    with open("/proc/meminfo") as file:
        memory = int(file.readline().split()[1]) >> 20
    return f"{models[0] if models else 'unknown processor'}, {os.cpu_count()} processors, {memory} GiB"


def three_digits(number):
    return f"{number:.3g}" if number < 100 else f"{number:.0f}"


def against_best(rows):
    """How many times faster Lamina is than the fastest other engine; None when there is none."""
    others = [row["ms"] for engine, row in rows.items() if engine != "lamina" and "ms" in row]
    ours = rows.get("lamina", {}).get("ms")
    return min(others) / ours if others and ours else None


def markdown(result):
    """The figures as tables, with machine, versions and date."""
    engines = result["engines"]
    titles = [ENGINES[engine][0] for engine in engines]
    lines = [f"Milliseconds a batch, the least in bold; a result that differs from ONNX Runtime's by more than "
             f"{TOLERANCE:.0e} of its range is marked.", "",
             "| network | batch | " + " | ".join(titles) + " | Lamina against the best other |",
             "|---|--:|" + "--:|" * (len(engines) + 1)]
    for entry in result["networks"]:
        rows = entry["engines"]
        least = min((row["ms"] for row in rows.values() if "ms" in row), default=None)
        cells = []
        for engine in engines:
            row = rows.get(engine, {})
            text = three_digits(row["ms"]) if "ms" in row else "—"
            if least is not None and row.get("ms") == least:
                text = f"**{text}**"
            if not row.get("agrees", True):
                text += f" (differs by {row['difference']:.0e})"
            cells.append(text)
        ratio = against_best(rows)
        cells.append(f"{ratio:.2f} ×" if ratio else "—")
        lines.append(f"| {entry['network']} | {entry['batch']} | " + " | ".join(cells) + " |")
    if result["start"]:
        lines += ["", f"A process that loads {result['start_network']} and runs one picture:", "",
                  "| | " + " | ".join(titles) + " |", "|---|" + "--:|" * len(engines)]
        for title, key in (("first result after, s", "first_s"), ("peak memory, MiB", "memory_mib")):
            cells = [three_digits(result["start"][engine][key]) if engine in result["start"] else "—"
                     for engine in engines]
            lines.append(f"| {title} | " + " | ".join(cells) + " |")
    versions = ", ".join(f"{ENGINES[engine][0]} {version}" for engine, version in result["versions"].items())
    lines += ["", f"{result['date']}; {result['machine']}; {result['threads']} threads, float32; {versions}. "
              f"Other machines took {result['stolen']:.1%} of the processor time."]
    return "\n".join(lines) + "\n"


def insert(text, figures, name="figures"):
    """`text` with what stands between its two marks replaced; the figures alone when it has no marks."""
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    head, found, rest = text.partition(start)
    _, closed, tail = rest.partition(end)
    return f"{head}{start}\n{figures}{end}{tail}" if found and closed else figures


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: {' '.join(NETWORKS)}")
    parser.add_argument("--networks", type=Path, required=True, metavar="DIRECTORY")
    parser.add_argument("--engines", default=",".join(ENGINES), help="default: %(default)s")
    parser.add_argument("--batches", default="1,16", help="default: %(default)s; small networks take 1 alone")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)),
                        help="default: as many as this process may use, %(default)s")
    parser.add_argument("--rounds", type=int, default=9, help="visits to each engine; default: %(default)s")
    parser.add_argument("--seconds", type=float, default=0.3, help="of runs a visit; default: %(default)s")
    parser.add_argument("--pause", type=float, default=0.1,
                        help="seconds behind a visit, so that threads park; default: %(default)s")
    parser.add_argument("--starts", type=int, default=3, help="processes for memory and start; default: %(default)s")
    parser.add_argument("--start-network", default="resnet50", help="default: %(default)s")
    parser.add_argument("--markdown", type=Path, metavar="FILE",
                        help="write the tables, between the marks of a file that has them")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    options = parser.parse_args()
    options.engines = options.engines.split(",")
    options.batches = [int(batch) for batch in options.batches.split(",")]
    for engine in options.engines:
        if engine not in ENGINES:
            parser.error(f"expected engines of {', '.join(ENGINES)}, found {engine}")
    options.names = options.names or list(NETWORKS)
    for name in [*options.names, options.start_network]:
        if name not in NETWORKS:
            parser.error(f"expected networks of {', '.join(NETWORKS)}, found {name}")
    return options


def report(entry):
    for engine, row in entry["engines"].items():
        place = f"{entry['network']:13} batch {entry['batch']:2}  {ENGINES[engine][0]:12}"
        if "failure" in row:
            print(f"{place} failed: {row['failure']}", flush=True)
        else:
            differs = "" if row.get("agrees", True) else f"  differs by {row['difference']:.1e}"
            print(f"{place} {row['ms']:10.3f} ms  {row['way']}{differs}", flush=True)


def main():
    options = parse()
    before = stolen_and_total()
    entries = []
    with tempfile.TemporaryDirectory() as options.temporary:
        for name in options.names:
            small = NETWORKS[name][1][1] < 100
            for batch in [1] if small else options.batches:
                rows = compare(name, batch, options)
                entries.append({"network": name, "batch": batch, "engines": rows})
                report(entries[-1])
        started = start(options.start_network, options) if options.starts else {}
    after = stolen_and_total()
    versions = {engine: row["version"] for entry in entries for engine, row in entry["engines"].items()
                if "version" in row}
    result = {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"), "machine": machine(), "threads": options.threads,
        "engines": options.engines, "versions": versions, "networks": entries,
        "start_network": options.start_network, "start": started,
        "stolen": (after[0] - before[0]) / max(after[1] - before[1], 1)}
    figures = markdown(result)
    print("\n" + figures)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    if options.markdown:
        text = options.markdown.read_text() if options.markdown.exists() else ""
        options.markdown.write_text(insert(text, figures))
    ours = [entry["engines"].get("lamina", {}) for entry in entries]
    sys.exit(1 if any("failure" in row or not row.get("agrees", True) for row in ours) else 0)


if __name__ == "__main__":
    main()
