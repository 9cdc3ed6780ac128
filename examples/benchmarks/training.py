"""Steps of training in Lamina and in PyTorch, side by side: speed and memory.

    training.py --program LAMINA [--markdown FILE] [NAME …]

A step is forward, back and stochastic gradient descent with momentum. Each engine has a process of its own, anew in
every round, and they take turns; PyTorch runs with both of its layouts, and the faster counts. The network and the
batch are the same, with weights at random; pictures are noise, so that nothing waits for a decoder.

    all        every layer learns
    head       the last layer learns, the others are frozen: the first epoch of fine-tuning
    features   the same on features kept from the first epoch. PyTorch keeps none: its step is that of `head`
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

from networks import NETWORKS
from side_by_side import insert, machine, stolen_and_total, three_digits

#: Network here, name in Lamina's catalogue, batch, part, steps of a visit.
ROWS = [
    ("lenet5", "lenet5", 1, "all", 3000),
    ("lenet5", "lenet5", 32, "all", 1000),
    ("lenet5", "lenet5", 128, "all", 400),
    ("deepconvnet", "deep_convnet", 100, "all", 150),
    ("alexnet", "alexnet", 16, "all", 6),
    ("vgg16", "vgg16", 16, "all", 3),
    ("resnet18", "resnet18", 16, "all", 5),
    ("resnet18", "resnet18", 16, "head", 10),
    ("resnet18", "resnet18", 16, "features", 50),
    ("resnet50", "resnet50", 16, "all", 3),
]
LAYOUTS = ("contiguous", "channels last")


def pytorch_step(name, batch, part, steps, threads, layout):
    """Prints the median time of a step, and the most memory."""
    import torch
    torch.set_num_threads(threads)
    make, shape = NETWORKS[name]
    network = make().train()
    pictures = torch.randn(batch, *shape)
    if layout == "channels last":
        network = network.to(memory_format=torch.channels_last)
        pictures = pictures.to(memory_format=torch.channels_last)
    if part != "all":
        for parameter in network.parameters():
            parameter.requires_grad = False
        for parameter in network.fc.parameters():
            parameter.requires_grad = True
    learned = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(learned, lr=1e-6, momentum=0.9)
    loss = torch.nn.CrossEntropyLoss()
    labels = torch.arange(batch) % network(pictures[:2]).shape[1]
    times = []
    for _ in range(steps + 2):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        value = loss(network(pictures), labels)
        value.backward()
        optimizer.step()
        value.item()
        times.append(time.perf_counter() - start)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"median_ms": statistics.median(times[2:]) * 1e3, "peak_memory_bytes": memory,
                      "version": torch.__version__}))


def visit(words, pause):
    time.sleep(pause)
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        sys.exit(f"{words[0]}: {lines[-1] if lines else done.returncode}")
    return json.loads(done.stdout)


def compare(row, options):
    name, catalogued, batch, part, steps = row
    ours = [str(options.program), "bench", catalogued, "--training", part, "--batch", str(batch), "--runs",
            str(steps), "--threads", str(options.threads), "--json"]
    theirs = [sys.executable, __file__, "--step", name, str(batch), part, str(steps), str(options.threads)]
    rounds = {"lamina": [], **{layout: [] for layout in LAYOUTS}}
    for _ in range(options.rounds):
        rounds["lamina"].append(visit(ours, options.pause))
        for layout in LAYOUTS:
            rounds[layout].append(visit([*theirs, layout], options.pause))

    def median(engine, field):
        return statistics.median(found[field] for found in rounds[engine])
    layout = min(LAYOUTS, key=lambda layout: median(layout, "median_ms"))
    result = {"network": name, "batch": batch, "part": part, "layout": layout,
              "pytorch": rounds[layout][0]["version"]}
    for engine, source in (("lamina", "lamina"), ("torch", layout)):
        result[f"{engine}_ms"] = median(source, "median_ms")
        result[f"{engine}_mib"] = median(source, "peak_memory_bytes") / 2 ** 20
    result["ratio"] = statistics.median(
        min(rounds[layout][i]["median_ms"] for layout in LAYOUTS) / rounds["lamina"][i]["median_ms"]
        for i in range(options.rounds))
    print(f"{name:12} batch {batch:3} {part:9} {result['lamina_ms']:9.3f} ms, PyTorch {result['torch_ms']:9.3f} ms "
          f"({layout}): {result['ratio']:.2f} ×", flush=True)
    return result


def markdown(rows, options, stolen):
    lines = ["Milliseconds a step, and MiB at most.", "",
             "| network | batch | what learns | Lamina | PyTorch | PyTorch ÷ Lamina | Lamina, MiB | PyTorch, MiB |",
             "|---|--:|---|--:|--:|--:|--:|--:|"]
    for row in rows:
        lines.append(
            f"| {row['network']} | {row['batch']} | {row['part']} | {three_digits(row['lamina_ms'])} "
            f"| {three_digits(row['torch_ms'])} ({row['layout']}) | **{three_digits(row['ratio'])} ×** "
            f"| {row['lamina_mib']:.0f} | {row['torch_mib']:.0f} |")
    date = datetime.now(timezone.utc).strftime("%Y-%m-%d")
    lines += ["", f"{date}; {machine()}; {options.threads} threads, float32; PyTorch {rows[0]['pytorch']}; medians of "
              f"{options.rounds} rounds. Other machines took {stolen:.1%} of the processor time."]
    return "\n".join(lines) + "\n"


def main():
    if sys.argv[1:2] == ["--step"]:
        name, batch, part, steps, threads, layout = sys.argv[2:]
        return pytorch_step(name, int(batch), part, int(steps), int(threads), layout)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="networks; default: all")
    parser.add_argument("--program", type=Path, required=True, help="the lamina program")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=5, help="visits to each engine; default: %(default)s")
    parser.add_argument("--pause", type=float, default=0.2, help="seconds before a visit; default: %(default)s")
    parser.add_argument("--markdown", type=Path, metavar="FILE",
                        help="write the table, between the marks of a file that has them")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    before = stolen_and_total()
    rows = [compare(row, options) for row in ROWS if not options.names or row[0] in options.names]
    after = stolen_and_total()
    figures = markdown(rows, options, (after[0] - before[0]) / max(after[1] - before[1], 1))
    print("\n" + figures)
    if options.markdown:
        text = options.markdown.read_text() if options.markdown.exists() else ""
        options.markdown.write_text(insert(text, figures, "training"))


if __name__ == "__main__":
    main()
