import Foundation
import Lamina
import LaminaTestSupport
import Testing

/// Little-endian bytes of a number.
func littleEndian<T: FixedWidthInteger>(_ number: T) -> [UInt8] {
  withUnsafeBytes(of: number.littleEndian) { Array($0) }
}

func littleEndian(_ numbers: [Float]) -> [UInt8] { numbers.flatMap { littleEndian($0.bitPattern) } }

/// The error of `body` as `code: description`, or `no error`.
func outcome(_ body: () throws -> Void) -> String {
  do {
    try body()
    return "no error"
  } catch let error as LaminaError {
    return "\(error.code): \(error)"
  } catch {
    return "another error: \(error)"
  }
}

/// A malformed file, and the error that reading all of it gives.
struct Malformed: Sendable, CustomTestStringConvertible {
  var name: String
  var expected: String
  var bytes: [UInt8]
  var testDescription: String { name }

  init(_ name: String, _ expected: String, _ bytes: [UInt8]) {
    self.name = name
    self.expected = expected
    self.bytes = bytes
  }
}

/// Opens a weight file and reads every tensor that has a supported type.
@discardableResult
func readAll(_ bytes: [UInt8], limits: Limits = Limits()) throws -> [String: Tensor] {
  let source = try openTensorSource(bytes: bytes, name: "file", limits: limits)
  var result: [String: Tensor] = [:]
  for key in source.keys { result[key] = try source.tensor(key, limits: limits) }
  return result
}

func equalBytes(_ a: Tensor, _ b: Tensor) -> Bool {
  a.spec == b.spec && a.withBytes { x in b.withBytes { y in x.elementsEqual(y) } }
}

func equalBytes(_ a: [String: Tensor], _ b: [String: Tensor]) -> Bool {
  a.count == b.count
    && a.allSatisfy { key, tensor in b[key].map { equalBytes(tensor, $0) } ?? false }
}

// MARK: - safetensors

/// A safetensors file with this header text, whatever it says.
func safeTensors(_ header: String, data: [UInt8] = [], length: UInt64? = nil) -> [UInt8] {
  littleEndian(length ?? UInt64(header.utf8.count)) + Array(header.utf8) + data
}

// MARK: - zip

/// Writes zip archives, right or wrong.
struct ZipFixture {
  struct Entry {
    var name: String
    var data: [UInt8]
    var method: UInt16 = 0
    var flags: UInt16 = 0
    /// What the headers say, where it is not the truth.
    var localName: String?
    var centralSize: UInt32?
    var localSize: UInt32?
    var centralChecksum: UInt32?
    var uncompressedSize: UInt32?
    var centralOffset: UInt32?
    var centralExtra: [UInt8] = []
    var localExtra: [UInt8] = []
  }

  var entries: [Entry]
  var comment: [UInt8] = []
  var entryCount: UInt16?
  var directoryOffset: UInt32?
  var disk: UInt16 = 0
  /// Stands between the directory and the end record.
  var zip64: [UInt8] = []
  var usesZip64 = false

  static func checksum(_ bytes: [UInt8]) -> UInt32 {
    var crc: UInt32 = 0xFFFF_FFFF
    for byte in bytes {
      crc ^= UInt32(byte)
      for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
    }
    return ~crc
  }

  var bytes: [UInt8] {
    var file: [UInt8] = []
    var directory: [UInt8] = []
    for entry in entries {
      let offset = UInt32(file.count)
      let size = UInt32(entry.data.count)
      let checksum = entry.centralChecksum ?? ZipFixture.checksum(entry.data)
      let isStreamed = entry.flags & 8 != 0
      let local = entry.localName ?? entry.name
      file += [0x50, 0x4B, 3, 4] + littleEndian(UInt16(20)) + littleEndian(entry.flags)
      file += littleEndian(entry.method) + littleEndian(UInt32(0))
      file += littleEndian(isStreamed ? 0 : checksum)
      file += littleEndian(isStreamed ? 0 : entry.localSize ?? entry.centralSize ?? size)
      file += littleEndian(
        isStreamed ? 0 : entry.localSize ?? entry.uncompressedSize ?? entry.centralSize ?? size)
      file += littleEndian(UInt16(local.utf8.count)) + littleEndian(UInt16(entry.localExtra.count))
      file += Array(local.utf8) + entry.localExtra + entry.data
      directory += [0x50, 0x4B, 1, 2] + littleEndian(UInt16(20)) + littleEndian(UInt16(20))
      directory += littleEndian(entry.flags) + littleEndian(entry.method) + littleEndian(UInt32(0))
      directory += littleEndian(checksum) + littleEndian(entry.centralSize ?? size)
      directory += littleEndian(entry.uncompressedSize ?? entry.centralSize ?? size)
      directory += littleEndian(UInt16(entry.name.utf8.count))
      directory += littleEndian(UInt16(entry.centralExtra.count)) + littleEndian(UInt16(0))
      directory += littleEndian(UInt16(0)) + [0, 0, 0, 0, 0, 0]
      directory += littleEndian(entry.centralOffset ?? offset)
      directory += Array(entry.name.utf8) + entry.centralExtra
    }
    let start = UInt32(file.count)
    file += directory
    let count = entryCount ?? UInt16(entries.count)
    if usesZip64 {
      let end = UInt64(file.count)
      file += [0x50, 0x4B, 6, 6] + littleEndian(UInt64(44)) + littleEndian(UInt32(0x1E_031E))
      file += littleEndian(UInt32(0)) + littleEndian(UInt32(0))
      file += littleEndian(UInt64(count)) + littleEndian(UInt64(count))
      file += littleEndian(UInt64(directory.count)) + littleEndian(UInt64(start))
      file +=
        [0x50, 0x4B, 6, 7] + littleEndian(UInt32(0)) + littleEndian(end) + littleEndian(UInt32(1))
    }
    file += zip64
    file += [0x50, 0x4B, 5, 6] + littleEndian(disk) + littleEndian(disk)
    file += littleEndian(count) + littleEndian(count)
    file += littleEndian(UInt32(directory.count))
    file += littleEndian(directoryOffset ?? (usesZip64 ? .max : start))
    return file + littleEndian(UInt16(comment.count)) + comment
  }
}

// MARK: - pickle

/// Assembles pickles opcode by opcode.
struct Pickle {
  var bytes: [UInt8] = []

  init(protocol version: UInt8 = 2) { bytes = [0x80, version] }

  static func raw(_ bytes: [UInt8]) -> Pickle {
    var pickle = Pickle()
    pickle.bytes += bytes
    return pickle
  }

  func adding(_ more: [UInt8]) -> Pickle {
    var copy = self
    copy.bytes += more
    return copy
  }

  func op(_ character: Character) -> Pickle { adding([character.asciiValue ?? 0]) }
  var mark: Pickle { op("(") }
  var none: Pickle { op("N") }
  var tuple: Pickle { op("t") }
  var reduce: Pickle { op("R") }
  var emptyTuple: Pickle { op(")") }
  var emptyDictionary: Pickle { op("}") }
  var setItems: Pickle { op("u") }
  var persistent: Pickle { op("Q") }
  var no: Pickle { adding([0x89]) }
  /// With STOP.
  var stop: [UInt8] { bytes + [0x2E] }

  func text(_ text: String) -> Pickle {
    op("X").adding(littleEndian(UInt32(text.utf8.count)) + Array(text.utf8))
  }
  func int(_ number: Int) -> Pickle {
    if let byte = UInt8(exactly: number) { return op("K").adding([byte]) }
    if let word = Int32(exactly: number) { return op("J").adding(littleEndian(word)) }
    return adding([0x8A, 8] + littleEndian(Int64(number)))
  }
  func global(_ module: String, _ name: String) -> Pickle {
    op("c").adding(Array("\(module)\n\(name)\n".utf8))
  }
  func ints(_ numbers: [Int]) -> Pickle { numbers.reduce(mark) { $0.int($1) }.tuple }

  func storage(_ type: String, _ key: String, _ count: Int, isLegacy: Bool = false) -> Pickle {
    let id = mark.text("storage").global("torch", type).text(key).text("cpu").int(count)
    return (isLegacy ? id.none : id).tuple.persistent
  }

  /// `_rebuild_tensor_v2(storage, offset, size, stride, False, OrderedDict())`.
  func tensor(
    _ type: String = "FloatStorage", key: String, count: Int, offset: Int = 0, size: [Int],
    stride: [Int], isLegacy: Bool = false
  ) -> Pickle {
    global("torch._utils", "_rebuild_tensor_v2").mark
      .storage(type, key, count, isLegacy: isLegacy).int(offset).ints(size).ints(stride).no
      .global("collections", "OrderedDict").emptyTuple.reduce.tuple.reduce
  }
}

/// A file of `torch.save` as a zip archive.
func torchZip(_ pickle: [UInt8], storages: [String: [UInt8]] = [:]) -> ZipFixture {
  var entries = [
    ZipFixture.Entry(name: "model/data.pkl", data: pickle),
    ZipFixture.Entry(name: "model/byteorder", data: Array("little".utf8)),
  ]
  for (key, data) in storages.sorted(by: { $0.key < $1.key }) {
    entries.append(ZipFixture.Entry(name: "model/data/\(key)", data: data))
  }
  entries.append(ZipFixture.Entry(name: "model/version", data: Array("3\n".utf8)))
  return ZipFixture(entries: entries)
}

let legacyMagic = Pickle().adding([
  0x8A, 10, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19,
]).stop

/// A file of `torch.save` before 1.6.
func torchLegacy(
  _ pickle: [UInt8], storages: [(key: String, count: Int64, data: [UInt8])] = [],
  littleEndianFlag: UInt8 = 0x88
) -> [UInt8] {
  let version = Pickle().int(1001).stop
  let system = Pickle().emptyDictionary.mark.text("little_endian").adding([littleEndianFlag])
    .setItems.stop
  var file = legacyMagic + version + system + pickle
  file += storages.reduce(Pickle().op("]").mark) { $0.text($1.key) }.op("e").stop
  for storage in storages { file += littleEndian(storage.count) + storage.data }
  return file
}

/// `{"weight": [[1, 2, 3], [4, 5, 6]], "bias": [7, 8]}`.
func weightAndBias(isLegacy: Bool = false) -> [UInt8] {
  Pickle().emptyDictionary.mark
    .text("weight").tensor(key: "0", count: 6, size: [2, 3], stride: [3, 1], isLegacy: isLegacy)
    .text("bias").tensor(key: "1", count: 2, size: [2], stride: [1], isLegacy: isLegacy)
    .setItems.stop
}

let weightNumbers: [Float] = [1, 2, 3, 4, 5, 6]
let biasNumbers: [Float] = [7, 8]

let validZip = torchZip(
  weightAndBias(), storages: ["0": littleEndian(weightNumbers), "1": littleEndian(biasNumbers)])
let validLegacy = torchLegacy(
  weightAndBias(isLegacy: true),
  storages: [("0", 6, littleEndian(weightNumbers)), ("1", 2, littleEndian(biasNumbers))])
let validSafeTensors = safeTensors(
  #"{"__metadata__":{"format":"pt"},"weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"#
    + #""bias":{"dtype":"F32","shape":[2],"data_offsets":[24,32]}}   "#,
  data: littleEndian(weightNumbers + biasNumbers))

func expectedTensors() throws -> [String: Tensor] {
  ["weight": try Tensor([2, 3], weightNumbers), "bias": try Tensor([2], biasNumbers)]
}

// MARK: - Models

/// y = x · weight + bias, per feature; enough of a layer to have parameters.
struct ScaleLayer: Layer {
  static let kind: LayerKind = "test.scale"
  let features: Int

  init(attributes: inout AttributeReader) throws {
    features = try attributes.int("features", in: 1...1000)
  }
  func encode(into attributes: inout AttributeWriter) { attributes.int("features", features) }
  func parameters(for inputs: [TensorSpec]) throws -> [ParameterSpec] {
    [
      ParameterSpec("weight", try Shape([features, 2]), initializer: .ones),
      ParameterSpec("bias", try Shape([features]), initializer: .zeros),
    ]
  }
  func forward(_ call: ForwardCall) throws {}
}

let scaleRegistry: LayerRegistry = {
  var registry = LayerRegistry()
  registry.replace(ScaleLayer.self, provider: "test")
  registry.replace(WideLayer.self, provider: "test")
  return registry
}()

/// Nodes `body` and `fc` of 3 features each: keys `body.weight`, `body.bias`, `fc.weight`, `fc.bias`.
func scaleModel(names: [String] = ["body", "fc"], features: Int = 3) throws -> Model {
  var builder = GraphBuilder(name: "scales", registry: scaleRegistry)
  var x = try builder.input("input", [.batch, 3])
  for name in names {
    x = try builder.add("test.scale", name, x, attributes: ["features": .int(features)])
  }
  try builder.output(x, name: "output")
  return try Model(initializing: builder.graph, registry: scaleRegistry)
}

/// A layer with one weight `[1, 12]`.
struct WideLayer: Layer {
  static let kind: LayerKind = "test.wide"

  init(attributes: inout AttributeReader) throws {}
  func encode(into attributes: inout AttributeWriter) {}
  func parameters(for inputs: [TensorSpec]) throws -> [ParameterSpec] {
    [ParameterSpec("weight", [1, 12], initializer: .ones)]
  }
  func forward(_ call: ForwardCall) throws {}
}
