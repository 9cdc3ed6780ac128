#!/usr/bin/env python3
"""Runs ONNX's own backend tests on Lamina.

    python3 examples/python/conformance.py [--list] [--only TEXT] [--verbose]

A case is in scope when Lamina has all its operators and element types. Which operators those are is written
below by name; a case is never left out because it fails. `make conformance` installs the `onnx` package into
an environment of its own and runs this.
"""

import argparse
import collections
import os
import sys
import time
import warnings

ONNX_VERSION = "1.23.2"

IN_SCOPE = """
Abs Acos Acosh Add And Asin Asinh Atan Atanh AveragePool BatchNormalization BitwiseNot Cast CastLike Ceil Celu
Clip Concat Constant ConstantOfShape Conv ConvTranspose Cos Cosh DepthToSpace Div Dropout Elu Equal Erf Exp
Expand Flatten Floor Gather Gelu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual
GroupNormalization HardSigmoid HardSwish Identity InstanceNormalization IsInf IsNaN LRN LayerNormalization
LeakyRelu Less LessOrEqual Log LogSoftmax LpPool MatMul Max MaxPool Mean Min Mish Mod Mul Neg Not Or PRelu Pad
Pow Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd
ReduceSum ReduceSumSquare Relu Reshape Resize Round Selu Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax
Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Swish Tan Tanh ThresholdedRelu Tile Transpose
Unsqueeze Upsample Where Xor
""".split()

OUTSIDE = {
    "attention and state": """Attention CausalConvWithState FlexAttention LinearAttention RMSNormalization
        RotaryEmbedding SwiGLU TensorScatter""",
    "bits": "BitCast BitShift BitwiseAnd BitwiseOr BitwiseXor",
    "control flow": "If Loop Scan SequenceMap",
    "geometry and regions": """AffineGrid CenterCropPad Col2Im DeformConv GridSample ImageDecoder MaxRoiPool
        MaxUnpool NonMaxSuppression RoiAlign""",
    "indexing and sorting": """ArgMax ArgMin Compress GatherElements GatherND NonZero OneHot ReverseSequence
        Scatter ScatterElements ScatterND TopK Unique""",
    "linear algebra and sums": "CumProd CumSum Det Einsum EyeLike Hardmax LpNormalization "
    "MeanVarianceNormalization Trilu",
    "losses and optimizers": """Adagrad Adam Gradient Momentum NegativeLogLikelihoodLoss
        SoftmaxCrossEntropyLoss""",
    "quantisation": """ConvInteger DequantizeLinear DynamicQuantizeLinear MatMulInteger QLinearConv
        QLinearMatMul QuantizeLinear""",
    "random numbers": """Bernoulli Multinomial RandomNormal RandomNormalLike RandomUniform
        RandomUniformLike""",
    "recurrence": "GRU LSTM RNN",
    "sequences and optionals": """ConcatFromSequence Optional OptionalGetElement OptionalHasElement SequenceAt
        SequenceConstruct SequenceEmpty SequenceErase SequenceInsert SequenceLength SplitToSequence""",
    "signals": "BlackmanWindow DFT HammingWindow HannWindow MelWeightMatrix STFT",
    "text": "RegexFullMatch StringConcat StringNormalizer StringSplit TfIdfVectorizer",
}

GROUP_OF = {operator: group for group, names in OUTSIDE.items() for operator in names.split()}


def element_types(model):
    """The element types of inputs, outputs, constants and casts."""
    types = set()
    for value in list(model.graph.input) + list(model.graph.output):
        if not value.type.HasField("tensor_type"):
            yield value.type.WhichOneof("value")
        types.add(value.type.tensor_type.elem_type)
    types.update(tensor.data_type for tensor in model.graph.initializer)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                types.add(attribute.t.data_type)
            if node.op_type == "Cast" and attribute.name == "to":
                types.add(attribute.i)
    import onnx

    supported = "FLOAT FLOAT16 BFLOAT16 DOUBLE INT8 INT16 INT32 INT64 UINT8 UINT16 UINT32 UINT64 BOOL"
    for number in types - {onnx.TensorProto.UNDEFINED}:
        name = onnx.TensorProto.DataType.Name(number)
        if name not in supported.split():
            yield name


def exceeds_float32(data):
    """Whether a number is finite as a double and infinite as a float32."""
    import numpy

    arrays = [numpy.asarray(item) for pair in data for items in pair for item in items]
    limit = numpy.finfo(numpy.float32).max
    return any(
        array.dtype == numpy.float64 and (numpy.isfinite(array) & (abs(array) > limit)).any()
        for array in arrays
    )


def is_training(model, data_sets):
    """Whether a node computes what it computes while training."""
    from onnx import numpy_helper

    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].HasField("t"):
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    for inputs, _ in data_sets or []:
        constants.update(zip((value.name for value in model.graph.input), inputs))
    for node in model.graph.node:
        if any(a.name == "training_mode" and a.i for a in node.attribute):
            return True
        if node.op_type == "Dropout" and len(node.input) > 2 and node.input[2]:
            if constants.get(node.input[2], True):
                return True
    return False


def reason_outside(model, data_sets):
    """Why a case is outside the scope: (group, detail); None when it is inside."""
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx"):
            return "other operator sets", node.domain
        if node.op_type not in IN_SCOPE:
            return GROUP_OF.get(node.op_type, "unlisted operators"), node.op_type
    for name in element_types(model):
        return "element types", name
    if is_training(model, data_sets):
        return "training mode", "training_mode"
    return None


def load_cases():
    """(kind, case) for all cases of the `onnx` package, sorted."""
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for kind in ["node", "pytorch-converted", "pytorch-operator", "simple", "real"]:
            for case in sorted(load_model_tests(kind=kind), key=lambda case: case.name):
                yield ("light" if kind == "real" else kind), case


def load_model(case):
    """The model of a case, and the file it lies in."""
    import onnx

    if case.model is not None:
        return case.model, None
    folder = os.path.dirname(os.path.dirname(os.path.abspath(onnx.__file__)))
    path = os.path.join(folder, case.url) if case.url else os.path.join(case.model_dir, "model.onnx")
    return onnx.load(path), path


def load_data(case, model, path):
    """Pairs of inputs and expected outputs."""
    import glob

    import numpy
    import onnx
    from onnx import numpy_helper

    def array(item):
        if isinstance(item, str):
            tensor = onnx.TensorProto()
            with open(item, "rb") as file:
                tensor.ParseFromString(file.read())
            item = tensor
        return numpy_helper.to_array(item) if isinstance(item, onnx.TensorProto) else item

    if case.data_sets is not None:
        return [([array(x) for x in inputs], [array(y) for y in outputs]) for inputs, outputs in case.data_sets]
    if case.url:
        # The light models: inputs are a ramp, outputs lie beside the model.
        initializers = {tensor.name for tensor in model.graph.initializer}
        inputs = []
        for value in model.graph.input:
            if value.name not in initializers:
                shape = [dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim]
                count = int(numpy.prod(shape))
                inputs.append((numpy.arange(count).reshape(shape) / count).astype(numpy.float32))
        stem = os.path.splitext(path)[0]
        return [(inputs, [array(f"{stem}_output_{i}.pb") for i in range(len(model.graph.output))])]
    result = []
    for folder in sorted(glob.glob(os.path.join(case.model_dir, "test_data_set*"))):
        count = {kind: len(glob.glob(os.path.join(folder, f"{kind}_*.pb"))) for kind in ("input", "output")}
        result.append(
            tuple(
                [array(os.path.join(folder, f"{kind}_{i}.pb")) for i in range(count[kind])]
                for kind in ("input", "output")
            )
        )
    return result


def run(case, model, data):
    """Raises unless Lamina's outputs are the expected ones."""
    import lamina.onnx_backend as backend
    from onnx.backend.test.runner import Runner

    rep = backend.prepare(model)
    for inputs, expected in data:
        outputs = list(rep.run(inputs))
        Runner.assert_similar_outputs(expected, outputs, rtol=case.rtol, atol=case.atol)


def main():
    parser = argparse.ArgumentParser(description="Runs ONNX's own backend tests on Lamina.")
    parser.add_argument("--list", action="store_true", help="count the cases without running them")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose name contains TEXT")
    parser.add_argument("--verbose", action="store_true", help="print each case")
    options = parser.parse_args()
    try:
        import onnx
    except ImportError:
        sys.exit(f"expected the package onnx {ONNX_VERSION}, found none; `make conformance` installs it")
    if onnx.__version__ != ONNX_VERSION:
        print(f"note: the counts were made with onnx {ONNX_VERSION}, this is {onnx.__version__}")
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

    inside, failed = collections.Counter(), []
    outside = collections.defaultdict(collections.Counter)
    start = time.monotonic()
    for kind, case in load_cases():
        if options.only not in case.name:
            continue
        model, path = load_model(case)
        reason = reason_outside(model, case.data_sets)
        if reason:
            outside[reason[0]][reason[1]] += 1
            continue
        data = load_data(case, model, path)
        if exceeds_float32(data):
            outside["element types"]["DOUBLE beyond float32"] += 1
            continue
        inside[kind] += 1
        if options.list:
            continue
        if options.verbose:
            print(case.name, flush=True)
        try:
            run(case, model, data)
        except Exception as error:  # a case may fail in any way
            failed.append(case.name)
            text = " ".join(str(error).split())
            print(f"FAILED {kind} {case.name}: {type(error).__name__}: {text[:400]}", flush=True)

    total = sum(inside.values())
    print("in scope: " + ", ".join(f"{count} {kind}" for kind, count in inside.items()))
    print(f"outside: {sum(sum(names.values()) for names in outside.values())}")
    for group in sorted(outside):
        names = ", ".join(f"{name} {count}" for name, count in sorted(outside[group].items()))
        print(f"  {sum(outside[group].values())} {group}: {names}")
    if options.list:
        return 0
    print(f"{total - len(failed)} passed, {len(failed)} failed in {time.monotonic() - start:.0f} s")
    return 1 if failed or not total else 0


if __name__ == "__main__":
    sys.exit(main())
