import LaminaCore

/// Assembles a protobuf message field by field.
struct ProtobufWriter {
  private(set) var bytes: [UInt8] = []

  static func varint(_ number: UInt64) -> [UInt8] {
    var rest = number
    var bytes: [UInt8] = []
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    return bytes + [UInt8(truncatingIfNeeded: rest)]
  }

  /// Tag and length of a field of `count` bytes.
  static func start(_ field: Int, count: Int) -> [UInt8] {
    varint(UInt64(field) << 3 | 2) + varint(UInt64(count))
  }

  mutating func int(_ field: Int, _ number: Int) {
    bytes += Self.varint(UInt64(field) << 3)
    bytes += Self.varint(UInt64(bitPattern: Int64(number)))
  }

  mutating func float(_ field: Int, _ number: Float) {
    bytes += Self.varint(UInt64(field) << 3 | 5)
    withUnsafeBytes(of: number.bitPattern.littleEndian) { bytes += $0 }
  }

  mutating func string(_ field: Int, _ text: String) { self.bytes(field, Array(text.utf8)) }

  mutating func bytes(_ field: Int, _ content: [UInt8]) {
    bytes += Self.start(field, count: content.count)
    bytes += content
  }

  mutating func message(_ field: Int, _ build: (inout ProtobufWriter) -> Void) {
    var nested = ProtobufWriter()
    build(&nested)
    bytes(field, nested.bytes)
  }
}
