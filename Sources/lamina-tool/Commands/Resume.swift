import Lamina

extension Command {
  static let resume = Command(
    name: "resume", summary: "go on with a training that was interrupted",
    operands: "FOLDER", operandCount: 1...1,
    example: """
      $ lamina train lenet5 mnist -o lenet5.safetensors --checkpoints saved
      ^C
      $ lamina resume saved
      FOLDER is that of '--checkpoints' of 'lamina train' or 'lamina finetune': it knows the command and where the training
      stood. The model is in every bit the one that would have come without the interruption.
      """
  ) { arguments in
    let folder = arguments.operands[0]
    let began = try CommandRecord.read(folder)
    let shown = folder.escapedForDisplay(limit: 512)
    guard let command = [Command.train, .finetune].first(where: { $0.name == began.name }) else {
      throw LaminaError(
        .unsupported,
        "expected the command train or finetune, found '\(began.name.escapedForDisplay())'",
        path: "\(shown)/COMMAND")
    }
    guard let path = System.absolutePath(folder), System.enter(began.folder) else {
      throw LaminaError(
        .notFound, "the folder in which the training began is gone",
        path: began.folder.escapedForDisplay(limit: 512))
    }
    let words = try Arguments(began.words, for: command)
    return try command.run(words.replacing(.checkpoints, with: path))
  }
}
