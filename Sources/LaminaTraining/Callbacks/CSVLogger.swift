/// Writes the logs of every epoch as a line of a file: `epoch`, from 0, then the names in alphabetical order. Names and
/// defaults as in Keras; a training that is resumed goes on behind its last whole epoch.
public final class CSVLogger: TrainingCallback {
  private let path: String
  private let separator: String
  private let appends: Bool
  private var file: LogFile?
  private var names: [String] = []

  /// - Parameter appends: whether what the file holds is kept.
  public init(path: String, separator: String = ",", appends: Bool = false) {
    self.path = path
    self.separator = separator
    self.appends = appends
  }

  /// Opens the file.
  public func trainingBegins(_ trainer: Trainer) throws {
    file = try LogFile(path: path, keepsContent: appends)
    names = []
    if !appends {
      for (epoch, logs) in trainer.history.enumerated() { try write(epoch, logs) }
    }
  }

  /// Writes a line.
  public func epochEnds(_ trainer: Trainer, _ logs: TrainingLogs) throws {
    try write(trainer.epoch, logs)
  }

  private func write(_ epoch: Int, _ logs: TrainingLogs) throws {
    if names.isEmpty {
      names = logs.keys.sorted()
      if file?.isEmpty == true {
        try append(["epoch"] + names)
      }
    }
    try append(["\(epoch)"] + names.map { name in logs[name].map { "\($0)" } ?? "" })
  }

  private func append(_ fields: [String]) throws {
    try file?.append(Array((fields.joined(separator: separator) + "\n").utf8))
  }

  /// Closes the file.
  public func trainingEnds(_ trainer: Trainer) throws { file = nil }
}
