import Foundation
import Lamina
import LaminaTestSupport
import Testing

/// Constants of a file: where their numbers may lie, and what sizes must agree.
@Suite struct ONNXTensorTests {
  /// The parameter that a model's only constant becomes.
  static func load(_ tensor: [UInt8], folder: String? = nil) throws -> Tensor {
    let bytes = ONNX.model(
      ONNX.graph(
        [ONNX.node("Cast", ["t"], ["c"], ["to": .int(1)]), ONNX.node("Add", ["x", "c"], ["y"])],
        inputs: [ONNX.value("x", [1])], outputs: [ONNX.value("y", [])], initializers: [tensor]))
    let model = try ONNX.load(bytes, folder: folder).model
    return try #require(model.parameters.values.first)
  }

  /// The constant as floats: half types, double and integers are converted or cast.
  static func floats(_ tensor: [UInt8], folder: String? = nil) throws -> [Float] {
    try load(tensor, folder: folder).elements(as: Float.self)
  }

  static func packed(_ type: Int, _ field: Int, _ values: [Int]) -> [UInt8] {
    ONNX.tensor("t", [values.count], type: type) {
      $0.data(field, values.flatMap { Proto.varint(UInt64(bitPattern: Int64($0))) })
    }
  }

  // MARK: - Encodings

  @Test func rawFloat() throws {
    #expect(try Self.floats(ONNX.floats("t", [3], [1, -2, 0.5])) == [1, -2, 0.5])
  }

  @Test func rawHalf() throws {
    // 1, -2, 65504, 2^-24, infinity
    let bits: [UInt16] = [0x3C00, 0xC000, 0x7BFF, 0x0001, 0x7C00]
    let raw = bits.flatMap(\.littleEndianBytes)
    #expect(
      try Self.floats(ONNX.tensor("t", [5], type: 10, raw: raw)) == [
        1, -2, 65504, 0x1p-24, .infinity,
      ])
  }

  @Test func everyHalfIsExact() throws {
    let bits = (0...UInt16.max).filter { $0 & 0x7C00 != 0x7C00 }
    let values = try Self.floats(
      ONNX.tensor("t", [bits.count], type: 10, raw: bits.flatMap(\.littleEndianBytes)))
    for (bits, value) in zip(bits, values) {
      let exponent = Int(bits >> 10 & 0x1F)
      let fraction = Float(bits & 0x3FF)
      let magnitude =
        exponent == 0
        ? fraction * 0x1p-24
        : (1024 + fraction) * Float(sign: .plus, exponent: exponent - 25, significand: 1)
      #expect(value == (bits & 0x8000 == 0 ? magnitude : -magnitude))
    }
  }

  @Test func rawBFloat16() throws {
    let raw = [UInt16(0x3F80), 0xC040].flatMap(\.littleEndianBytes)
    #expect(try Self.floats(ONNX.tensor("t", [2], type: 16, raw: raw)) == [1, -3])
  }

  @Test func rawDouble() throws {
    let raw = [1.5, -1e300].flatMap { $0.bitPattern.littleEndianBytes }
    #expect(try Self.floats(ONNX.tensor("t", [2], type: 11, raw: raw)) == [1.5, -.infinity])
  }

  @Test(arguments: [
    (2, [UInt8(200), 7], [Float(200), 7]), (3, [0xFF, 7], [-1, 7]),
    (4, [0xFF, 0xFF, 7, 0], [65535, 7]),
    (5, [0xFF, 0xFF, 7, 0], [-1, 7]), (6, [0xFF, 0xFF, 0xFF, 0xFF, 7, 0, 0, 0], [-1, 7]),
    (9, [0, 2], [0, 1]), (12, [0, 0, 0, 0x80, 7, 0, 0, 0], [0x1p31, 7]),
  ])
  func rawIntegers(_ type: Int, _ raw: [UInt8], _ expected: [Float]) throws {
    #expect(try Self.floats(ONNX.tensor("t", [2], type: type, raw: raw)) == expected)
  }

  @Test(arguments: [
    (2, 5), (3, 5), (4, 5), (5, 5), (6, 5), (7, 7), (9, 5), (12, 11), (13, 11),
  ])
  func packedIntegers(_ type: Int, _ field: Int) throws {
    #expect(try Self.floats(Self.packed(type, field, [1, 0, 1])) == [1, 0, 1])
  }

  @Test func packedHalves() throws {
    #expect(try Self.floats(Self.packed(10, 5, [0x3C00, 0xC000])) == [1, -2])
    #expect(try Self.floats(Self.packed(16, 5, [0x3F80, 0xC040])) == [1, -3])
  }

  @Test func negativeIntegersInVarints() throws {
    #expect(try Self.floats(Self.packed(6, 5, [-5, 5])) == [-5, 5])
    #expect(try Self.floats(Self.packed(7, 7, [-5, 5])) == [-5, 5])
  }

  @Test func floatData() throws {
    let packed = ONNX.tensor("t", [2]) {
      $0.data(4, [Float(3), 4].flatMap { $0.bitPattern.littleEndianBytes })
    }
    #expect(try Self.floats(packed) == [3, 4])
    let single = ONNX.tensor("t", [2]) {
      $0.float(4, 3)
      $0.float(4, 4)
    }
    #expect(try Self.floats(single) == [3, 4])
  }

  @Test func doubleData() throws {
    let tensor = ONNX.tensor("t", [1], type: 11) { $0.data(10, 2.5.bitPattern.littleEndianBytes) }
    #expect(try Self.floats(tensor) == [2.5])
  }

  @Test func unpackedVarints() throws {
    let tensor = ONNX.tensor("t", [2], type: 7) {
      $0.int(7, 300)
      $0.int(7, 5)
    }
    #expect(try Self.floats(tensor) == [300, 5])
  }

  @Test func scalarAndEmpty() throws {
    #expect(try Self.floats(ONNX.floats("t", [], [7])) == [7])
    #expect(try Self.load(ONNX.floats("t", [0], [])).shape == [0])
  }

  // MARK: - Sizes

  static func refused(
    _ code: LaminaError.Code, _ message: String, _ tensor: [UInt8],
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    expectError(code, message, path: "tensor 't'", sourceLocation: sourceLocation) {
      try load(tensor)
    }
  }

  @Test func rawOfAnotherSize() {
    Self.refused(
      .format, "expected 12 bytes of raw_data for float32 [3], found 8",
      ONNX.tensor("t", [3], raw: [UInt8](repeating: 0, count: 8)))
    Self.refused(
      .format, "expected 12 bytes of raw_data for float32 [3], found 13",
      ONNX.tensor("t", [3], raw: [UInt8](repeating: 0, count: 13)))
    Self.refused(
      .format, "expected 12 bytes of raw_data for float32 [3], found 0", ONNX.tensor("t", [3]))
  }

  @Test func dataInTwoPlaces() {
    Self.refused(
      .format, "expected the data in one place, found 2",
      ONNX.tensor("t", [1], raw: [0, 0, 0, 0]) { $0.float(4, 1) })
  }

  @Test func dataInTheWrongField() {
    Self.refused(
      .format, "expected float32 in float_data, found int64_data",
      ONNX.tensor("t", [1]) { $0.int(7, 1) })
  }

  @Test func tooFewValues() {
    Self.refused(
      .format, "expected 2 values of float_data for shape [2], found 1",
      ONNX.tensor("t", [2]) { $0.float(4, 1) })
  }

  @Test func tooManyValues() {
    Self.refused(
      .format, "expected 1 values of int64_data for shape [1], found 4000000",
      ONNX.tensor("t", [1], type: 7) { $0.data(7, [UInt8](repeating: 1, count: 4_000_000)) })
  }

  @Test func floatDataOfOddSize() {
    Self.refused(
      .format, "expected a multiple of 4 bytes of float_data, found 6",
      ONNX.tensor("t", [1]) { $0.data(4, [UInt8](repeating: 0, count: 6)) })
  }

  @Test func valueOutsideItsType() {
    Self.refused(.format, "expected INT8 in int32_data, found 300", Self.packed(3, 5, [300]))
    Self.refused(.format, "expected UINT8 in int32_data, found -1", Self.packed(2, 5, [-1]))
    Self.refused(.format, "expected BOOL in int32_data, found 2", Self.packed(9, 5, [2]))
    Self.refused(
      .format, "expected FLOAT16 in int32_data, found 65536", Self.packed(10, 5, [65536]))
  }

  @Test func negativeDimension() {
    Self.refused(
      .shape, "expected extents in 0...2147483647, found -1 in [-1]",
      ONNX.tensor("t", [-1], raw: []))
  }

  @Test func productThatOverflows() {
    Self.refused(
      .shape, "expected at most 2^40 elements, found [2147483647, 2147483647, 2147483647]",
      ONNX.tensor("t", [Int](repeating: 0x7FFF_FFFF, count: 3), raw: []))
    Self.refused(
      .shape,
      "expected extents in 0...2147483647, found 9223372036854775807 in [2, 9223372036854775807]",
      ONNX.tensor("t", [2, Int.max], raw: []))
  }

  @Test func nineAxes() {
    Self.refused(
      .shape, "expected at most 8 axes, found 9",
      ONNX.tensor("t", [Int](repeating: 1, count: 9), raw: [0, 0, 0, 0]))
  }

  @Test(arguments: [0, 27, 999, -1])
  func unknownDataType(_ type: Int) {
    Self.refused(
      .format, "expected a data type in 1...26, found \(type)", ONNX.tensor("t", [0], type: type))
  }

  @Test(arguments: [
    (8, "STRING"), (14, "COMPLEX64"), (17, "FLOAT8E4M3FN"), (21, "UINT4"), (23, "FLOAT4E2M1"),
  ])
  func otherDataType(_ type: Int, _ name: String) {
    Self.refused(.unsupported, "element type \(name)", ONNX.tensor("t", [0], type: type))
  }

  @Test func segments() {
    Self.refused(
      .unsupported, "a tensor in segments",
      ONNX.tensor("t", [1], raw: [0, 0, 0, 0]) { $0.data(3, []) })
  }

  @Test func textInAFloatTensor() {
    Self.refused(
      .format, "string_data in a tensor of float32", ONNX.tensor("t", [1]) { $0.string(6, "a") })
  }

  @Test func memoryBudget() {
    var limits = Limits()
    limits.memoryBytes = 1 << 20
    let shape = ONNX.ints("s", [1 << 10, 1 << 10, 1, 1])
    expectError(
      .limit, "expected at most 1048576 bytes of memory, tensor 'w' needs 4194336"
    ) {
      try ONNX.load(
        ONNX.model(
          [ONNX.node("ConstantOfShape", ["s"], ["w"]), ONNX.node("Conv", ["x", "w"], ["y"])],
          input: [1, 1 << 10, 1, 1], initializers: [shape]), limits: limits)
    }
  }

  @Test func weightsThatTheFileDoesNotHold() {
    let shape = ONNX.ints("s", [1 << 15, 1 << 15, 1, 1])
    expectError(
      .limit, "expected at most 1073741824 bytes of ConstantOfShape, found 4294967296",
      path: "node 'y' (Conv)"
    ) {
      try ONNX.load(
        ONNX.model(
          [ONNX.node("ConstantOfShape", ["s"], ["w"]), ONNX.node("Conv", ["x", "w"], ["y"])],
          input: [1, 1 << 15, 1, 1], initializers: [shape]))
    }
  }

  // MARK: - External data

  static func external(_ entries: KeyValuePairs<String, String>) -> [UInt8] {
    ONNX.tensor("t", [2], external: entries)
  }

  static let numbers = [Float(0), 3, 4].flatMap { $0.bitPattern.littleEndianBytes }

  static func withFolder<T>(_ body: (String) throws -> T) throws -> T {
    try withTemporaryFolder { outer in
      let folder = "\(outer)/model"
      try FileManager.default.createDirectory(
        atPath: "\(folder)/deep", withIntermediateDirectories: true)
      try Data(numbers).write(to: URL(filePath: "\(folder)/w.bin"))
      try Data(numbers).write(to: URL(filePath: "\(folder)/deep/w.bin"))
      try Data(numbers).write(to: URL(filePath: "\(outer)/secret"))
      return try body(folder)
    }
  }

  @Test func externalData() throws {
    try Self.withFolder { (folder: String) throws in
      let whole = Self.external(["location": "w.bin", "offset": "4", "length": "8"])
      #expect(try Self.floats(whole, folder: folder) == [3, 4])
      let deep = Self.external(["location": "deep/w.bin", "offset": "4", "checksum": "00"])
      #expect(try Self.floats(deep, folder: folder) == [3, 4])
    }
  }

  @Test func externalDataFromMemory() {
    Self.refused(
      .unsupported,
      "the data lies in the file 'w.bin', and a model from memory has no folder to look in",
      Self.external(["location": "w.bin"]))
  }

  @Test(arguments: [
    "../secret", "deep/../../secret", "/etc/passwd", "./w.bin", "deep//w.bin", "", "deep\\w.bin",
    "..",
  ])
  func externalPathsThatLeave(_ location: String) throws {
    try Self.withFolder { (folder: String) throws in
      expectError(
        .format, "expected external data in a file beneath the model's folder, found '\(location)'",
        path: "tensor 't'"
      ) { try Self.load(Self.external(["location": location]), folder: folder) }
    }
  }

  @Test func externalLinks() throws {
    try Self.withFolder { (folder: String) throws in
      let files = FileManager.default
      try files.createSymbolicLink(
        atPath: "\(folder)/link", withDestinationPath: "\(folder)/w.bin")
      try files.createSymbolicLink(atPath: "\(folder)/dir", withDestinationPath: "\(folder)/deep")
      for name in ["link", "dir/w.bin"] {
        expectError(
          .format, "expected external data in a regular file, found a link in '\(name)'",
          path: "tensor 't'"
        ) { try Self.load(Self.external(["location": name]), folder: folder) }
      }
      try files.linkItem(atPath: "\(folder)/../secret", toPath: "\(folder)/hard")
      expectError(
        .format, "expected external data in a file of one name, found hard links to 'hard'",
        path: "tensor 't'"
      ) { try Self.load(Self.external(["location": "hard"]), folder: folder) }
    }
  }

  @Test func externalThatIsNoFile() throws {
    try Self.withFolder { (folder: String) throws in
      #expect(mkfifo("\(folder)/fifo", 0o600) == 0)
      for name in ["deep", "fifo"] {
        expectError(
          .format, "expected external data in a regular file, found '\(name)'", path: "tensor 't'"
        ) { try Self.load(Self.external(["location": name]), folder: folder) }
      }
      for name in ["none", "*/_ORT_MEM_ADDR_/*"] {
        expectError(.notFound, "external data '\(name)' does not exist", path: "tensor 't'") {
          try Self.load(Self.external(["location": name]), folder: folder)
        }
      }
    }
  }

  @Test(arguments: [
    ("offset", "-1"), ("offset", "abc"), ("length", "-1"), ("length", "0x8"),
    ("offset", "99999999999999999999"),
  ])
  func externalNumbers(_ key: String, _ text: String) throws {
    try Self.withFolder { (folder: String) throws in
      expectError(
        .format, "expected the \(key) of external data to be a number, found '\(text)'",
        path: "tensor 't'"
      ) {
        try Self.load(
          ONNX.tensor("t", [2], external: ["location": "w.bin", key: text]), folder: folder)
      }
    }
  }

  @Test func externalRanges() throws {
    try Self.withFolder { (folder: String) throws in
      for (offset, length) in [
        ("8", "8"), ("13", "8"), ("0", "1000000000000000"), ("9223372036854775807", "8"),
      ] {
        expectError(
          .format, "expected \(length) bytes at \(offset) of 'w.bin', which has 12",
          path: "tensor 't'"
        ) {
          try Self.load(
            Self.external(["location": "w.bin", "offset": offset, "length": length]), folder: folder
          )
        }
      }
      expectError(
        .format, "expected 8 bytes of external data, found a length of 4", path: "tensor 't'"
      ) { try Self.load(Self.external(["location": "w.bin", "length": "4"]), folder: folder) }
    }
  }

  @Test(arguments: ["basepath", "__class__", ""])
  func externalKeys(_ key: String) throws {
    try Self.withFolder { (folder: String) throws in
      expectError(
        .format, "expected external data of location, offset, length or checksum, found '\(key)'",
        path: "tensor 't'"
      ) {
        try Self.load(
          ONNX.tensor("t", [2], external: ["location": "w.bin", key: "1"]), folder: folder)
      }
    }
  }

  @Test func externalKeyTwice() throws {
    try Self.withFolder { (folder: String) throws in
      expectError(.format, "external data gives 'location' twice", path: "tensor 't'") {
        try Self.load(
          ONNX.tensor("t", [2], external: ["location": "w.bin", "location": "deep/w.bin"]),
          folder: folder)
      }
    }
  }

  @Test func externalWithoutLocation() {
    Self.refused(.format, "external data has no location", Self.external(["offset": "0"]))
  }
}
