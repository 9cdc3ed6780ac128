import Lamina

extension Command {
  private static let tolerance = Option(
    name: "tolerance", value: .text("T"),
    help: "largest difference relative to the range of each value; default: 1e-4")

  static let compare = Command(
    name: "compare",
    summary: "run a model on a reference's input and find the first layer that differs",
    operands: "MODEL REF.npz", operandCount: 2...2, options: [tolerance, .threads, .json],
    example: """
      $ lamina compare resnet18.safetensors reference.npz
      REF.npz holds the model's inputs and any of its values by their names ('lamina summary MODEL').
      """
  ) { arguments in
    let limit = try arguments.text(tolerance).map { text in
      guard let number = Double(text), number >= 0 else {
        throw UsageError("expected '--tolerance' from 0, found '\(text.escapedForDisplay())'")
      }
      return number
    }
    let model = try ModelArgument.load(arguments.operands[0], arguments)
    let reference = try openTensorSource(path: arguments.operands[1])
    var options = SessionOptions()
    if let threads = arguments.integer(.threads) { options.threads = threads }
    let rows = try comparisons(model, reference, options, tolerance: limit ?? 1e-4)
    let first = rows.first { !$0.isEqual }
    if arguments.has(.json) {
      let result = JSON.object([
        "compared": .int(Int64(rows.count)),
        "differing": .int(Int64(rows.count { !$0.isEqual })),
        "first": first.map { .string($0.name) },
        "values": .array(rows.map(\.json)),
      ])
      try Terminal.write(result.text(pretty: true) + "\n")
    } else {
      let table = Table(
        [["value", "shape", "difference", ""]]
          + rows.map {
            [
              $0.name.escapedForDisplay(), "\($0.shape)", $0.text, $0.isEqual ? "ok" : "DIFFERS",
            ]
          })
      let verdict =
        first.map { "first difference: \($0.name.escapedForDisplay())" }
        ?? "\(rows.count) values, no difference"
      try Terminal.write(table.text + verdict + "\n")
    }
    return first == nil ? .done : .failure
  }
}

/// What was found of one value.
private struct Comparison {
  var name: String
  var shape: Shape
  /// Largest difference by the reference's range; infinite where shapes differ or a number is none.
  var difference: Double
  var isEqual: Bool

  var text: String {
    guard difference.isFinite else { return "all" }
    guard difference > 0 else { return "0" }
    var (number, exponent) = (difference, 0)
    while number >= 10 { (number, exponent) = (number / 10, exponent + 1) }
    while number < 1 { (number, exponent) = (number * 10, exponent - 1) }
    return "\(number.decimal(1))e\(exponent)"
  }

  var json: JSON {
    .object([
      "name": .string(name), "shape": .array(shape.dimensions.map { .int(Int64($0)) }),
      "difference": difference.isFinite ? .double(difference) : nil, "equal": .bool(isEqual),
    ])
  }
}

/// Runs the model on the reference's inputs, and compares every value of it that the reference has, in the order
/// of the graph.
private func comparisons(
  _ model: Model, _ reference: any TensorSource, _ options: SessionOptions, tolerance: Double
) throws -> [Comparison] {
  let graph = model.graph
  let known = Set(reference.keys)
  let inputs = try graph.inputs.map { input in
    guard known.contains(input.name) else {
      throw LaminaError(
        .notFound, "expected the model's input '\(input.name.escapedForDisplay())', found none",
        path: reference.provenance)
    }
    let tensor = try reference.tensor(input.name)
    return input.type == .float32 && tensor.type.isFloatingPoint
      ? try floats(tensor) : tensor
  }
  let inputNames = Set(graph.inputs.map(\.name))
  var names = graph.allValueNames.filter { known.contains($0) && !inputNames.contains($0) }
  names += graph.outputs.map(\.name).filter { known.contains($0) && !names.contains($0) }
  guard !names.isEmpty else {
    throw LaminaError(
      .notFound, "expected values of the model beside its inputs, found none",
      path: reference.provenance)
  }
  var options = options
  options.outputs = names
  let found = try Session(model: model, options: options).run(inputs)
  return try zip(names, found).map { name, tensor in
    let expected = try reference.tensor(name)
    guard expected.shape == tensor.shape else {
      return Comparison(
        name: name, shape: tensor.shape, difference: .infinity, isEqual: false)
    }
    guard tensor.type == .float32, expected.type.isFloatingPoint else {
      let isEqual =
        tensor.type == expected.type
        && tensor.withBytes { a in expected.withBytes { b in a.elementsEqual(b) } }
      return Comparison(
        name: name, shape: tensor.shape, difference: isEqual ? 0 : .infinity, isEqual: isEqual)
    }
    let difference = relativeDifference(tensor, try floats(expected))
    return Comparison(
      name: name, shape: tensor.shape, difference: difference, isEqual: difference <= tolerance)
  }
}

private func floats(_ tensor: Tensor) throws -> Tensor {
  tensor.type == .float32 ? tensor : try tensor.convertedToFloat32()
}

/// max |a − b| / (max b − min b), where the range is 0 by 1; infinite where one alone is no number.
private func relativeDifference(_ a: Tensor, _ b: Tensor) -> Double {
  a.withElements(of: Float.self) { a in
    b.withElements(of: Float.self) { b in
      var (largest, low, high) = (0.0, Double.infinity, -Double.infinity)
      for (x, y) in zip(a, b) {
        low = min(low, Double(y))
        high = max(high, Double(y))
        if x == y || x.isNaN && y.isNaN { continue }
        let difference = abs(Double(x) - Double(y))
        largest = difference.isNaN ? .infinity : max(largest, difference)
      }
      let range = high - low
      return range > 0 && range.isFinite ? largest / range : largest
    }
  }
}
