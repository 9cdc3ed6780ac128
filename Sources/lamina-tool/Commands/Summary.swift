import Lamina

extension Command {
  private static let input = Option(
    name: "input", value: .text("SHAPE"), help: "shape of the input, such as 1,3,224,224")

  static let summary = Command(
    name: "summary",
    summary: "list a model's layers with shapes, parameters, MACs and receptive fields",
    operands: "MODEL", operandCount: 1...1, options: [input, .json],
    example: """
      $ lamina summary resnet18 --input 1,3,192,256
      MODEL is a file, or a name of the catalogue ('lamina models').
      """
  ) { arguments in
    let model = try ModelArgument.load(arguments.operands[0], arguments)
    let specs = try model.inputSpecs(arguments.text(input))
    let summary = try ModelSummary(model, inputs: specs)
    try Terminal.write(
      arguments.has(.json) ? summary.json.text(pretty: true) + "\n" : summary.text)
    return .done
  }
}
