import LaminaCore

/// Reads tensor data from files beside the model.
final class ONNXExternalData {
  private let folder: String?
  private let limits: Limits
  private var files: [String: FileReader] = [:]
  private(set) var hasUncheckedChecksums = false

  /// - Parameter folder: nil when the model did not come from a folder.
  init(folder: String?, limits: Limits) {
    self.folder = folder
    self.limits = limits
  }

  /// The data of a tensor of `byteCount` bytes.
  func read(_ tensor: ONNXTensor, byteCount: Int) throws -> [UInt8] {
    var location: String?
    var offset = 0
    var length: Int?
    var seen: Set<String> = []
    for (key, value) in tensor.external {
      guard seen.insert(key).inserted else {
        throw LaminaError(.format, "external data gives '\(key.escapedForDisplay())' twice")
      }
      switch key {
      case "location": location = value
      case "offset": offset = try Self.number(key, value)
      case "length": length = try Self.number(key, value)
      case "checksum": hasUncheckedChecksums = true
      default:
        throw LaminaError(
          .format,
          "expected external data of location, offset, length or checksum, found '\(key.escapedForDisplay())'"
        )
      }
    }
    guard let location else { throw LaminaError(.format, "external data has no location") }
    let file = try open(location)
    let shown = location.escapedForDisplay()
    let (end, overflow) = offset.addingReportingOverflow(length ?? byteCount)
    guard !overflow, end <= file.byteCount else {
      throw LaminaError(
        .format,
        "expected \(length ?? byteCount) bytes at \(offset) of '\(shown)', which has \(file.byteCount)"
      )
    }
    guard end - offset == byteCount else {
      throw LaminaError(
        .format, "expected \(byteCount) bytes of external data, found a length of \(end - offset)")
    }
    return try file.bytes(offset..<end)
  }

  private static func number(_ key: String, _ text: String) throws -> Int {
    guard let number = Int(text), number >= 0 else {
      throw LaminaError(
        .format,
        "expected the \(key) of external data to be a number, found '\(text.escapedForDisplay())'")
    }
    return number
  }

  private func open(_ location: String) throws -> FileReader {
    if let file = files[location] { return file }
    let shown = location.escapedForDisplay()
    guard let folder else {
      throw LaminaError(
        .unsupported,
        "the data lies in the file '\(shown)', and a model from memory has no folder to look in")
    }
    let file = try FileReader.beneath(
      folder, location, what: "external data", maximumBytes: limits.weightFileBytes)
    files[location] = file
    return file
  }
}
