import Lamina

extension Command {
  private static let output = Option(
    name: "output", letter: "o", value: .text("FILE"),
    help: "where to write, .svg or .dot; default: DOT to standard output")
  private static let input = Option(
    name: "input", value: .text("SHAPE"), help: "shape of the input, such as 1,3,224,224")

  static let graph = Command(
    name: "graph", summary: "draw a model's layers, blocks in boxes",
    operands: "MODEL", operandCount: 1...1, options: [output, input],
    example: """
      $ lamina graph resnet18 -o resnet18.svg
      MODEL is a file, or a name of the catalogue ('lamina models'). Browsers show SVG, Graphviz reads DOT.
      """
  ) { arguments in
    let target = arguments.text(output)
    let isSVG = target?.lowercased().hasSuffix(".svg") == true
    guard target == nil || isSVG || target?.lowercased().hasSuffix(".dot") == true else {
      throw UsageError("expected '--output' to end in .svg or .dot")
    }
    let model = try ModelArgument.load(arguments.operands[0], arguments)
    let drawing = try GraphDrawing(model, inputs: model.inputSpecs(arguments.text(input)))
    guard let target else {
      try Terminal.write(drawing.dot)
      return .done
    }
    try Interruption.removingTemporaryFile(of: target) {
      let writer = try AtomicFileWriter(path: target)
      try writer.write(Array((isSVG ? drawing.svg : drawing.dot).utf8))
      try writer.commit()
    }
    return .done
  }
}
