import LaminaCore

/// Writes event files that TensorBoard shows: `train/` and `validation/` below a folder, tags as in Keras
/// (`epoch_loss`, `epoch_accuracy`, `epoch_learning_rate`, `batch_loss`).
public final class TensorBoard: TrainingCallback {
  private let folder: String
  private let everyBatches: Int?
  private var train: EventFile?
  private var validation: EventFile?

  /// - Parameter everyBatches: batches between points of `batch_…`: Keras's `update_freq`; nil: epochs only.
  public init(folder: String = "logs", everyBatches: Int? = nil) {
    self.folder = folder
    self.everyBatches = everyBatches
  }

  /// Opens the files.
  public func trainingBegins(_ trainer: Trainer) throws {
    train = try EventFile(folder: "\(folder)/train")
    validation = trainer.validation == nil ? nil : try EventFile(folder: "\(folder)/validation")
  }

  /// Points of a batch.
  public func batchEnds(_ trainer: Trainer, _ logs: TrainingLogs) throws {
    guard let everyBatches, trainer.batchesSoFar % max(everyBatches, 1) == 0 else { return }
    for (name, value) in logs.sorted(by: { $0.key < $1.key }) {
      try train?.write("batch_\(name)", value, step: trainer.batchesSoFar)
    }
  }

  /// Points of an epoch.
  public func epochEnds(_ trainer: Trainer, _ logs: TrainingLogs) throws {
    for (name, value) in logs.sorted(by: { $0.key < $1.key }) {
      if name.hasPrefix("val_") {
        try validation?.write("epoch_\(name.dropFirst(4))", value, step: trainer.epoch)
      } else {
        try train?.write("epoch_\(name)", value, step: trainer.epoch)
      }
    }
  }

  /// Closes the files.
  public func trainingEnds(_ trainer: Trainer) throws {
    train = nil
    validation = nil
  }
}

/// A file of TensorFlow's `Event` messages as TFRecords: length, its masked CRC32C, bytes, their masked CRC32C.
final class EventFile {
  private let file: LogFile

  init(folder: String) throws {
    try makeFolder(folder)
    let time = secondsSince1970()
    let name = "events.out.tfevents.\(Int(time)).\(machineName()).\(processNumber()).0.v2"
    file = try LogFile(path: "\(folder)/\(name)", keepsContent: true)
    var event = ProtobufMessage()
    event.double(1, time)
    event.bytes(3, Array("brain.Event:2".utf8))
    try file.append(EventFile.record(event.bytes))
  }

  func write(_ tag: String, _ value: Double, step: Int) throws {
    var point = ProtobufMessage()
    point.bytes(1, Array(tag.utf8))
    point.float(2, Float(value))
    var summary = ProtobufMessage()
    summary.bytes(1, point.bytes)
    var event = ProtobufMessage()
    event.double(1, secondsSince1970())
    event.varint(2, UInt64(max(step, 0)))
    event.bytes(5, summary.bytes)
    try file.append(EventFile.record(event.bytes))
  }

  static func record(_ data: [UInt8]) -> [UInt8] {
    func littleEndian<T: FixedWidthInteger>(_ number: T) -> [UInt8] {
      withUnsafeBytes(of: number.littleEndian) { Array($0) }
    }
    func masked(_ bytes: [UInt8]) -> [UInt8] {
      let crc = CRC32C.of(bytes)
      return littleEndian((crc >> 15 | crc << 17) &+ 0xA282_EAD8)
    }
    let length = littleEndian(UInt64(data.count))
    return length + masked(length) + data + masked(data)
  }
}

/// The fields of a protocol buffer message.
struct ProtobufMessage {
  private(set) var bytes: [UInt8] = []

  private mutating func append(_ number: UInt64) {
    var rest = number
    while rest >= 0x80 {
      bytes.append(UInt8(rest & 0x7F) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }

  mutating func varint(_ field: UInt64, _ value: UInt64) {
    append(field << 3)
    append(value)
  }

  mutating func double(_ field: UInt64, _ value: Double) {
    append(field << 3 | 1)
    withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes.append(contentsOf: $0) }
  }

  mutating func float(_ field: UInt64, _ value: Float) {
    append(field << 3 | 5)
    withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes.append(contentsOf: $0) }
  }

  mutating func bytes(_ field: UInt64, _ value: [UInt8]) {
    append(field << 3 | 2)
    append(UInt64(value.count))
    bytes.append(contentsOf: value)
  }
}
