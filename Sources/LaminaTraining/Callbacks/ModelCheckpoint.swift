import LaminaCore

/// Saves the model behind epochs or batches. Names and defaults as in Keras; what a file holds is the caller's to say.
public final class ModelCheckpoint: TrainingCallback {
  private let path: String
  private let monitor: Monitor
  private let savesBestOnly: Bool
  private let everyBatches: Int?
  private let save: (Model, String) throws -> Void
  private var best: Double?
  private var batches = 0

  /// - Parameters:
  ///   - path: `{epoch}`, from 1, and names of the logs stand for their numbers: `net-{epoch:02}-{val_loss:.3}.h5`, with
  ///     the fewest digits, or those behind the point.
  ///   - savesBestOnly: only when the monitored number is the best so far.
  ///   - everyBatches: batches between files; nil: every epoch.
  ///   - initialThreshold: what the first number must beat: Keras's `initial_value_threshold`.
  ///   - save: writes a model to a path.
  public init(
    path: String, monitor: String = "val_loss", savesBestOnly: Bool = false,
    mode: Monitor.Mode = .auto, everyBatches: Int? = nil, initialThreshold: Double? = nil,
    save: @escaping (_ model: Model, _ path: String) throws -> Void
  ) {
    self.path = path
    self.monitor = Monitor(monitor, mode)
    self.savesBestOnly = savesBestOnly
    self.everyBatches = everyBatches
    self.save = save
    best = initialThreshold
  }

  /// Saves, when files come by batches.
  public func batchEnds(_ trainer: Trainer, _ logs: TrainingLogs) throws {
    guard let everyBatches else { return }
    batches += 1
    if batches >= max(everyBatches, 1) {
      batches = 0
      try saveModel(trainer, logs)
    }
  }

  /// Saves, when files come by epochs.
  public func epochEnds(_ trainer: Trainer, _ logs: TrainingLogs) throws {
    if everyBatches == nil { try saveModel(trainer, logs) }
  }

  private func saveModel(_ trainer: Trainer, _ logs: TrainingLogs) throws {
    if savesBestOnly {
      let value = try monitor.value(in: logs)
      guard monitor.isBetter(value, than: best) else { return }
      best = value
    }
    let path = try Self.path(self.path, epoch: trainer.epoch + 1, logs)
    try save(try trainer.makeModel(), path)
  }

  /// The path with numbers in place of names.
  static func path(_ template: String, epoch: Int, _ logs: TrainingLogs) throws -> String {
    var result = ""
    var rest = template[...]
    while let start = rest.firstIndex(of: "{") {
      result += rest[..<start]
      guard let end = rest[start...].firstIndex(of: "}") else { break }
      let parts = rest[rest.index(after: start)..<end].split(
        separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
      let name = String(parts.first ?? "")
      let format = parts.count > 1 ? String(parts[1]) : ""
      guard let value = name == "epoch" ? Double(epoch) : logs[name] else {
        throw LaminaError(
          .argument,
          "expected a name among epoch, \(logs.keys.sorted().joined(separator: ", ")), found '\(name.escapedForDisplay())'",
          path: template.escapedForDisplay(limit: 512))
      }
      let digits = Int(format.filter { $0 >= "0" && $0 <= "9" }) ?? 0
      if name == "epoch" {
        let text = String(epoch)
        result += String(repeating: "0", count: max(min(digits, 20) - text.count, 0)) + text
      } else {
        result += fixed(value, digits: format.hasPrefix(".") ? min(digits, 15) : 6)
      }
      rest = rest[rest.index(after: end)...]
    }
    return result + rest
  }

  /// Its numbers.
  public func saveState() -> CallbackState {
    var state = CallbackState()
    state.numbers = ["batches": Double(batches)]
    state.numbers["best"] = best
    return state
  }

  /// Takes them over.
  public func restoreState(_ state: CallbackState) {
    batches = Int(exactly: state.numbers["batches"] ?? 0) ?? 0
    best = state.numbers["best"] ?? best
  }
}

/// A number with a fixed count of digits behind the point.
func fixed(_ value: Double, digits: Int) -> String {
  guard value.isFinite, abs(value) < 1e15 else { return "\(value)" }
  let scale = power(10, Double(digits))
  let scaled = (abs(value) * scale).rounded()
  guard digits > 0, scaled < 0x1p63, let whole = Int64(exactly: scaled) else {
    return digits > 0 ? "\(value)" : "\(Int64(value.rounded()))"
  }
  let text = String(whole)
  let padded = String(repeating: "0", count: max(digits + 1 - text.count, 0)) + text
  return (value < 0 && whole > 0 ? "-" : "") + padded.dropLast(digits) + "." + padded.suffix(digits)
}
