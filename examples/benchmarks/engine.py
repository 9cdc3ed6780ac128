"""One engine in a process of its own; `side_by_side.py` starts it and speaks with it in lines of JSON.

    engine.py ENGINE NETWORK BATCH THREADS DIRECTORY OUTPUT

It tells when it has the first result, tries the other ways in which its engine can be called, writes a result of
the fastest to OUTPUT, and then answers every number of seconds with the times of the runs that fit.
"""

import json
import os
import sys
import time
from pathlib import Path

from networks import NETWORKS

# Each engine loads a network and yields ways to run it, by name; the plainest comes first.


def lamina(folder, name, x, threads):
    import lamina
    model = lamina.load(folder / "models" / f"{name}.onnx", threads=threads)
    yield "run", lambda: model.run(x)[0]
    bound = model.bind(x)
    yield "bound", lambda: bound()[0]


def onnx_runtime(folder, name, x, threads):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "models" / f"{name}.onnx"), options,
                                           providers=["CPUExecutionProvider"])
    yield "run", lambda: session.run(None, {"input": x})[0]
    binding = session.io_binding()
    binding.bind_ortvalue_input("input", onnxruntime.OrtValue.ortvalue_from_numpy(x))
    output = onnxruntime.OrtValue.ortvalue_from_numpy(session.run(None, {"input": x})[0])
    binding.bind_ortvalue_output(session.get_outputs()[0].name, output)

    def bound():
        session.run_with_iobinding(binding)
        return output.numpy()
    yield "bound", bound


def openvino(folder, name, x, threads):
    import openvino
    core = openvino.Core()
    model = core.read_model(folder / "models" / f"{name}.onnx")
    model.reshape({"input": list(x.shape)})
    compiled = core.compile_model(model, "CPU", {
        "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"})
    request = compiled.create_infer_request()
    yield "infer", lambda: request.infer({"input": x})[0]
    request.set_input_tensor(openvino.Tensor(x, shared_memory=True))
    output = request.get_output_tensor().data

    def bound():
        request.start_async()
        request.wait()
        return output
    yield "bound", bound


def pytorch(folder, name, x, threads):
    import torch
    torch.set_num_threads(threads)
    network = torch.jit.load(folder / "ncnn" / f"{name}.pt").eval()

    def way(network, x):
        def run():
            with torch.inference_mode():
                return network(x).numpy()
        return run
    frozen = torch.jit.freeze(network)
    batch = torch.from_numpy(x)
    yield "frozen", way(frozen, batch)
    optimized = torch.jit.optimize_for_inference(frozen)
    yield "optimized", way(optimized, batch)
    last = torch.channels_last
    frozen_last = torch.jit.freeze(network.to(memory_format=last))
    yield "channels last", way(frozen_last, batch.contiguous(memory_format=last))


def ncnn(folder, name, x, threads):
    import ncnn
    import numpy
    network = ncnn.Net()
    network.opt.num_threads = threads
    network.opt.use_vulkan_compute = False
    network.opt.use_fp16_packed = network.opt.use_fp16_storage = network.opt.use_fp16_arithmetic = False
    network.opt.use_bf16_storage = False
    network.load_param(str(folder / "ncnn" / f"{name}.ncnn.param"))
    network.load_model(str(folder / "ncnn" / f"{name}.ncnn.bin"))
    pictures = [ncnn.Mat(picture) for picture in x]

    def one_by_one():
        results = []
        for picture in pictures:
            extractor = network.create_extractor()
            extractor.input("in0", picture)
            results.append(numpy.array(extractor.extract("out0")[1]))
        return numpy.stack(results)
    yield "one by one", one_by_one


#: Name for people, distribution whose version counts, how it runs.
ENGINES = {
    "lamina": ("Lamina", None, lamina),
    "onnxruntime": ("ONNX Runtime", "onnxruntime", onnx_runtime),
    "openvino": ("OpenVINO", "openvino", openvino),
    "pytorch": ("PyTorch", "torch", pytorch),
    "ncnn": ("ncnn", "ncnn", ncnn),
}


def version(engine):
    distribution = ENGINES[engine][1]
    if distribution is None:
        import lamina
        return lamina.version()
    import importlib.metadata
    return importlib.metadata.version(distribution)


def peak_memory():
    """Most bytes that this process had in memory."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def times(run, seconds):
    """Seconds of each run, as many as fit, at least one."""
    found = []
    end = time.perf_counter() + seconds
    while not found or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        found.append(time.perf_counter() - start)
    return found


def tell(**facts):
    print(json.dumps(facts), flush=True)


def main():
    engine, name, batch, threads, folder, output = sys.argv[1:]
    os.environ["OMP_NUM_THREADS"] = threads
    import numpy
    shape = (int(batch), *NETWORKS[name][1])
    x = numpy.random.default_rng(0).standard_normal(shape, dtype=numpy.float32)
    ways = ENGINES[engine][2](Path(folder), name, x, int(threads))
    way, run = next(ways)
    result = run()
    tell(first=True)
    run()
    tell(memory=peak_memory(), version=version(engine))
    if not sys.stdin.readline():
        return
    best = min(times(run, 0.3))
    for other, call in ways:
        call()
        call()
        found = min(times(call, 0.3))
        if found < best:
            way, run, best = other, call, found
    result = run()
    numpy.save(output, numpy.asarray(result))
    tell(way=way)
    for line in sys.stdin:
        run()
        tell(times=times(run, float(line)))


if __name__ == "__main__":
    main()
