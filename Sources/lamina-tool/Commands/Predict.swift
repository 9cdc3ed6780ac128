import Lamina

extension Command {
  private static let top = Option(
    name: "top", value: .integer(1...100_000), help: "classes to print for each picture; default: 5"
  )

  static let predict = Command(
    name: "predict", summary: "name what is in pictures",
    operands: "MODEL PICTURE…", operandCount: 2...Int.max, options: [top, .threads, .json],
    example: """
      $ lamina predict efficientnet_lite0.safetensors cat.jpg --top 2
      0.9342  tabby, tabby cat
      0.0417  tiger cat
      """
  ) { arguments in
    let model = try ModelArgument.load(arguments.operands[0], arguments)
    guard let preprocessing = model.metadata.preprocessing else {
      throw LaminaError(
        .unsupported, "the model does not say how pictures become its input",
        path: arguments.operands[0].escapedForDisplay(limit: 512))
    }
    var options = SessionOptions()
    options.threads = arguments.integer(.threads)
    let session = try Session(model: model, options: options)
    let decoding = try arguments.decoding()
    let pictures = arguments.operands.dropFirst()
    var status = ExitStatus.done
    var results: [JSON] = []
    for picture in pictures {
      do {
        let input = try preprocessing.apply(
          to: Image.load(path: picture, options: decoding))
        let output = try session.run([input]).first
        guard let output else { throw LaminaError(.unsupported, "the model has no output") }
        let predictions = try withExtendedLifetime(output) {
          try model.predictions(from: output.view, top: arguments.integer(top) ?? 5)
        }
        let classes = predictions.first ?? []
        if arguments.has(.json) {
          results.append(
            .object(["picture": .string(picture), "classes": .array(classes.map(\.json))]))
        } else {
          let heading = pictures.count > 1 ? picture.escapedForDisplay(limit: 4096) + "\n" : ""
          try Terminal.write(heading + classes.map { $0.line + "\n" }.joined())
        }
      } catch let error as LaminaError {
        let located = error.at(picture.escapedForDisplay(limit: 512))
        Terminal.report("lamina predict: \(located)")
        if status == .done { status = ExitStatus(error) }
      }
    }
    if arguments.has(.json) { try Terminal.write(JSON.array(results).text(pretty: true) + "\n") }
    return status
  }
}

extension Prediction {
  /// `0.9342  tabby, tabby cat`.
  fileprivate var line: String {
    Double(probability).decimal(4) + "  " + label.escapedForDisplay(limit: 512)
  }

  fileprivate var json: JSON {
    .object([
      "index": .int(Int64(index)), "label": .string(label),
      "probability": .double(Double(probability)),
    ])
  }
}
