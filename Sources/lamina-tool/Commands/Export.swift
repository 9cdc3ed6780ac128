import Lamina

extension Command {
  private static let output = Option(
    name: "output", letter: "o", value: .text("FILE"),
    help: "the file to write: .onnx, .safetensors or .npz; required")

  static let export = Command(
    name: "export", summary: "write a model as ONNX, or its weights for other programs",
    operands: "MODEL", operandCount: 1...1, options: [output, .json],
    example: """
      $ lamina export resnet18.safetensors -o resnet18.onnx
      .onnx holds graph and weights, .safetensors is a Lamina model, .npz has the weights alone.
      """
  ) { arguments in
    let source = arguments.operands[0]
    guard let target = arguments.text(output) else {
      throw UsageError("option '--output FILE' is missing")
    }
    guard !System.isSameFile(source, target) else {
      throw UsageError("'\(target.escapedForDisplay())' is both input and output")
    }
    let format: ExportFormat
    do { format = try ExportFormat(path: target) } catch let error as LaminaError {
      throw UsageError(error.message)
    }
    let model = try ModelArgument.load(source, arguments)
    let bar = Progress("writing \(target.escapedForDisplay())")
    try Interruption.removingTemporaryFile(of: target) {
      defer { bar.finish() }
      try format.write(model, to: target)
    }
    if arguments.has(.json) {
      let result = JSON.object([
        "file": .string(target), "format": .string(format.rawValue),
        "tensors": .int(Int64(model.parameters.count)),
      ])
      try Terminal.write(result.text(pretty: true) + "\n")
    } else {
      try Terminal.write("wrote \(target.escapedForDisplay(limit: 4096))\n")
    }
    return .done
  }
}
