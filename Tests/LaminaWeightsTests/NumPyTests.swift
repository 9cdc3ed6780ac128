import Foundation
import Lamina
import LaminaTestSupport
import Testing

/// A `.npy` file with this dictionary, whatever it says.
func npy(_ header: String, _ data: [UInt8] = [], version: UInt8 = 1, length: UInt32? = nil)
  -> [UInt8]
{
  let count = length ?? UInt32(header.utf8.count)
  let size = version == 1 ? littleEndian(UInt16(truncatingIfNeeded: count)) : littleEndian(count)
  return [0x93] + Array("NUMPY".utf8) + [version, 0] + size + Array(header.utf8) + data
}

func npy(_ type: String, _ shape: String, _ data: [UInt8], fortran: Bool = false) -> [UInt8] {
  npy(
    "{'descr': '\(type)', 'fortran_order': \(fortran ? "True" : "False"), 'shape': \(shape), }\n",
    data)
}

/// `{"weight": …, "bias": …}` as a `.npz`.
let validNPZ = ZipFixture(entries: [
  .init(name: "weight.npy", data: npy("<f4", "(2, 3)", littleEndian(weightNumbers))),
  .init(name: "bias.npy", data: npy("<f4", "(2,)", littleEndian(biasNumbers))),
])

extension Pickle {
  func bytes(_ bytes: [UInt8]) -> Pickle {
    op("B").adding(littleEndian(UInt32(bytes.count)) + bytes)
  }
  func ndarray(
    _ type: String, _ shape: [Int], _ data: [UInt8], order: String = "<", fortran: Bool = false,
    core: String = "numpy.core"
  ) -> Pickle {
    global("\(core).multiarray", "_reconstruct").global("numpy", "ndarray").int(0).adding([0x85])
      .bytes([0x62]).adding([0x87]).reduce
      .mark.int(1).ints(shape)
      .global("numpy", "dtype").text(type).no.adding([0x88, 0x87]).reduce
      .mark.int(3).text(order).none.none.none.int(-1).int(-1).int(0).tuple.op("b")
      .adding([fortran ? 0x88 : 0x89]).bytes(data).tuple.op("b")
  }
}

let validArrayPickle = Pickle(protocol: 3).emptyDictionary.mark
  .text("weight").ndarray("f4", [2, 3], littleEndian(weightNumbers))
  .text("bias").ndarray("f4", [2], littleEndian(biasNumbers)).setItems.stop

@Suite struct NumPyTests {
  static let types: [(descr: String, bytes: [UInt8], expected: TensorSpec)] = [
    ("<f4", littleEndian([Float(1), -2]), TensorSpec([2])),
    (">f4", [0x3F, 0x80, 0, 0, 0xC0, 0, 0, 0], TensorSpec([2])),
    ("=f4", littleEndian([Float(1), -2]), TensorSpec([2])),
    ("<f2", [0, 0x3C, 0, 0xC0], TensorSpec([2], .float16)),
    (">f2", [0x3C, 0, 0xC0, 0], TensorSpec([2], .float16)),
    (
      "<f8", littleEndian(1.0.bitPattern) + littleEndian((-2.0).bitPattern),
      TensorSpec([2], .float64)
    ),
    (">f8", [0x3F, 0xF0, 0, 0, 0, 0, 0, 0, 0xC0, 0, 0, 0, 0, 0, 0, 0], TensorSpec([2], .float64)),
    ("|i1", [1, 0xFE], TensorSpec([2], .int8)),
    ("|u1", [1, 2], TensorSpec([2], .uint8)),
    (">i2", [0, 1, 0xFF, 0xFE], TensorSpec([2], .int16)),
    ("<u2", [1, 0, 2, 0], TensorSpec([2], .uint16)),
    (">i4", [0, 0, 0, 1, 0xFF, 0xFF, 0xFF, 0xFE], TensorSpec([2], .int32)),
    (">u4", [0, 0, 0, 1, 0, 0, 0, 2], TensorSpec([2], .uint32)),
    (
      ">i8", [0, 0, 0, 0, 0, 0, 0, 1] + [UInt8](repeating: 0xFF, count: 7) + [0xFE],
      TensorSpec([2], .int64)
    ),
    ("<u8", littleEndian(UInt64(1)) + littleEndian(UInt64(2)), TensorSpec([2], .uint64)),
    ("|b1", [1, 0], TensorSpec([2], .bool)),
  ]

  @Test(arguments: types.indices) func everyTypeIsRead(index: Int) throws {
    let (descr, bytes, expected) = Self.types[index]
    let tensor = try #require(try readAll(npy(descr, "(2,)", bytes))["arr_0"])
    #expect(tensor.spec == expected)
    let size = expected.type.byteCount
    var native = bytes
    if descr.hasPrefix(">") {
      native = Array(bytes[..<size].reversed()) + Array(bytes[size...].reversed())
    }
    #expect(tensor.withBytes { $0.elementsEqual(native) })
  }

  @Test(arguments: [1, 2, 3] as [UInt8]) func everyVersionIsRead(version: UInt8) throws {
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }"
    let bytes = npy(header, littleEndian(biasNumbers), version: version)
    #expect(try readAll(bytes)["arr_0"]?.elements(as: Float.self) == biasNumbers)
  }

  @Test func columnsFirstBecomeRowsFirst() throws {
    let bytes = npy("<f4", "(2, 3)", littleEndian([1, 4, 2, 5, 3, 6] as [Float]), fortran: true)
    #expect(try readAll(bytes)["arr_0"]?.elements(as: Float.self) == weightNumbers)
    let cube = npy(
      ">f4", "(2, 1, 2)", [Float(1), 3, 2, 4].flatMap { littleEndian($0.bitPattern).reversed() },
      fortran: true)
    #expect(try readAll(cube)["arr_0"]?.elements(as: Float.self) == [1, 2, 3, 4])
  }

  @Test(arguments: ["()", "(0,)", "(3, 0)", "(1,)", "(1L,)", "( 1 , )"])
  func oddShapesAreRead(shape: String) throws {
    let isEmpty = shape.contains("0")
    let tensor = try #require(
      try readAll(npy("<f4", shape, isEmpty ? [] : littleEndian([Float(7)])))["arr_0"])
    #expect(tensor.elements(as: Float.self) == (isEmpty ? [] : [7]))
  }

  @Test func archivesAndPicklesAreRead() throws {
    #expect(equalBytes(try readAll(validNPZ.bytes), try expectedTensors()))
    #expect(equalBytes(try readAll(validArrayPickle), try expectedTensors()))
    let source = try openTensorSource(bytes: validNPZ.bytes, name: "file")
    #expect(source.keys == ["weight", "bias"])
    #expect(source.provenance == "file (NumPy npz)")
  }

  @Test func nestedPicklesAreNamedByTheirPath() throws {
    let one = littleEndian([Float(1)])
    let pickle = Pickle(protocol: 4).op("]").mark
      .ndarray("f4", [1], one, core: "numpy._core")
      .emptyDictionary.mark.text("b").ndarray("f4", [1], one).text("n").int(3).setItems
      .op("e").stop
    let source = try openTensorSource(bytes: pickle, name: "file")
    #expect(source.keys == ["0", "1.b"])
    let array = Pickle(protocol: 3).ndarray(
      "f4", [2, 2], littleEndian([1, 3, 2, 4] as [Float]), fortran: true)
    #expect(try readAll(array.stop)["arr_0"]?.elements(as: Float.self) == [1, 2, 3, 4])
  }

  @Test func whatIsWrittenIsRead() throws {
    var tensors = try expectedTensors()
    tensors["scope/ints"] = try Tensor([2, 2], [1, 2, 3, 4] as [Int64])
    tensors["flag"] = try Tensor(.scalar, [true])
    let bytes = try NumPyArrays.bytes(tensors)
    #expect(equalBytes(try readAll(bytes), tensors))
    #expect(try NumPyArrays.bytes(tensors) == bytes)
    let path = FileManager.default.temporaryDirectory.appendingPathComponent(
      "\(UUID().uuidString).npz"
    ).path
    defer { try? FileManager.default.removeItem(atPath: path) }
    try NumPyArrays.write(tensors, to: path)
    #expect(FileManager.default.contents(atPath: path).map { Array($0) } == bytes)
  }

  @Test(arguments: ["", "/a", "a/../b", "a\\b"]) func badNamesAreRefused(name: String) throws {
    let tensors = [name: try Tensor([1], [Float(1)])]
    #expect(
      outcome { _ = try NumPyArrays.bytes(tensors) }
        == "argument: expected a name that a file can have, found '\(name)'")
  }

  @Test(.enabled(if: SharedData.isAvailable))
  func theBookPicklesOpen() throws {
    let folder = try #require(SharedData.folder)
    let simple = try openTensorSource(path: "\(folder)/weights/simple_convnet_params.pkl")
    #expect(simple.keys == ["b2", "W3", "W2", "b1", "b3", "W1"])
    #expect(try simple.spec("W1") == TensorSpec([30, 1, 5, 5], .float64))
    let deep = try openTensorSource(path: "\(folder)/weights/deep_convnet_params.pkl")
    #expect(deep.keys.count == 16)
    #expect(try deep.tensor("W7").shape == [1024, 50])
  }

  static let malformed = [
    Malformed(
      "no bytes behind the magic", "format: file @ 0: expected 8 bytes of header, found 6",
      Array(npy("").prefix(6))),
    Malformed(
      "version 0.0", "unsupported: file: expected format version 1.0, 2.0 or 3.0, found 0.0",
      npy("{}", version: 0)),
    Malformed(
      "version 4.0", "unsupported: file: expected format version 1.0, 2.0 or 3.0, found 4.0",
      npy("{}", version: 4)),
    Malformed(
      "header beyond the end", "format: file @ 10: expected 77 bytes of header, found 2",
      npy("{}", length: 77)),
    Malformed(
      "header of 4 GiB", "limit: file: expected a header of at most 10000 bytes, found 4294967280",
      npy("{}", version: 2, length: 0xFFFF_FFF0)),
    Malformed("no dictionary", "format: file @ 10: expected '{' in the header", npy("[1]")),
    Malformed(
      "missing key", "format: file @ 28: the header has no 'fortran_order'",
      npy("{'descr': '<f4', }")),
    Malformed(
      "missing shape", "format: file @ 50: the header has no 'shape'",
      npy("{'descr': '<f4', 'fortran_order': False}")),
    Malformed(
      "extra key", "format: file @ 15: expected 'descr', 'fortran_order' and 'shape', found 'a'",
      npy("{'a': 1}")),
    Malformed(
      "key twice", "format: file @ 35: the header gives 'descr' twice",
      npy("{'descr': '<f4', 'descr': '<f4'}")),
    Malformed(
      "shape of one number", "format: file @ 62: expected a tuple for 'shape', found a number",
      npy("<f4", "(3)", [])),
    Malformed(
      "shape as a list", "format: file @ 60: expected a tuple for 'shape'", npy("<f4", "[3]", [])),
    Malformed(
      "negative extent", "format: file @ 61: expected an extent from 0 below 2^63 in 'shape'",
      npy("<f4", "(-1,)", [])),
    Malformed(
      "extent with a fraction", "format: file @ 62: expected a tuple for 'shape', found a number",
      npy("<f4", "(1.5, 2)", [])),
    Malformed(
      "extent True", "format: file @ 61: expected an extent from 0 below 2^63 in 'shape'",
      npy("<f4", "(True,)", [])),
    Malformed(
      "extent 2^63", "format: file @ 61: expected an extent from 0 below 2^63 in 'shape'",
      npy("<f4", "(9223372036854775808,)", [])),
    Malformed(
      "extents beyond 2^40",
      "shape: file @ 87: expected at most 2^40 elements, found [1000000, 1000000, 1000000]",
      npy("<f4", "(1000000, 1000000, 1000000)", [])),
    Malformed(
      "33 axes", "shape: file @ 161: expected at most 8 axes, found 33",
      npy("<f4", "(" + String(repeating: "1, ", count: 33) + ")", [])),
    Malformed(
      "65 axes", "format: file @ 253: expected at most 8 axes, found more than 64",
      npy("<f4", "(" + String(repeating: "1, ", count: 65) + ")", [])),
    Malformed(
      "brackets", "format: file @ 61: expected an extent from 0 below 2^63 in 'shape'",
      npy("<f4", String(repeating: "(", count: 5000), [])),
    Malformed(
      "objects", "unsupported: file: arrays of objects hold code and are not supported",
      npy("|O", "(1,)", [0])),
    Malformed(
      "structured", "unsupported: file: structured arrays are not supported",
      npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}")),
    Malformed(
      "text elements", "unsupported: file: element type '<U10' is not supported",
      npy("<U10", "(1,)", [])),
    Malformed(
      "float128", "unsupported: file: element type '<f16' is not supported", npy("<f16", "(1,)", [])
    ),
    Malformed(
      "no type", "unsupported: file: element type '' is not supported", npy("", "(1,)", [])),
    Malformed(
      "dates", "unsupported: file: element type '<M8[ns]' is not supported",
      npy("<M8[ns]", "(1,)", [])),
    Malformed(
      "order 1", "format: file @ 44: expected True or False for 'fortran_order'",
      npy("{'descr': '<f4', 'fortran_order': 1, 'shape': ()}")),
    Malformed(
      "a call", "format: file @ 20: expected a string in the header",
      npy("{'descr': __import__('os')}")),
    Malformed(
      "a name", "format: file @ 11: expected a string in the header", npy("{descr: '<f4'}")),
    Malformed(
      "an f-string", "format: file @ 20: expected a string in the header", npy("{'descr': f'<f4'}")),
    Malformed(
      "data too short", "format: file: expected 8 bytes for float32 [2], found 4",
      npy("<f4", "(2,)", [0, 0, 0, 0])),
    Malformed(
      "data too long", "format: file: expected 4 bytes for float32 [1], found 8",
      npy("<f4", "(1,)", [UInt8](repeating: 0, count: 8))),
    Malformed(
      "a bool of 2", "format: file: arr_0: expected bytes 0 or 1 in a tensor of bool",
      npy("|b1", "(1,)", [2])),
    Malformed(
      "behind the dictionary", "format: file @ 68: expected the end of the header",
      npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), } x")),
  ]

  @Test(arguments: malformed) func malformedArraysAreRefused(file: Malformed) {
    #expect(outcome { try readAll(file.bytes) } == file.expected)
  }

  static func archive(_ entries: ZipFixture.Entry...) -> [UInt8] {
    ZipFixture(entries: entries).bytes
  }
  static let good = npy("<f4", "(1,)", [0, 0, 0, 0])
  static let bomb: ZipFixture.Entry = .init(
    name: "a.npy", data: [0x63, 0, 0], method: 8, uncompressedSize: 1 << 30)

  static let malformedArchives = [
    Malformed(
      "another member", "format: file: b: expected entries named *.npy only",
      archive(.init(name: "a.npy", data: good), .init(name: "b", data: good))),
    Malformed(
      "a member without a name", "format: file: .npy: expected entries named *.npy only",
      archive(.init(name: ".npy", data: good))),
    Malformed(
      "an empty member", "format: file: a.npy: expected 8 bytes, found 0",
      archive(.init(name: "a.npy", data: []))),
    Malformed(
      "a member cut in its header", "format: file: a.npy: expected 58 bytes, found 30",
      archive(.init(name: "a.npy", data: Array(good.prefix(40))))),
    Malformed(
      "a member with a wrong checksum", "format: file: a.npy: expected crc32 7, found ",
      archive(.init(name: "a.npy", data: good, centralChecksum: 7))),
    Malformed(
      "two members of one name", "format: file central directory @ ",
      archive(.init(name: "a.npy", data: good), .init(name: "a.npy", data: good))),
    Malformed(
      "a name that leaves", "format: file central directory @ ",
      archive(.init(name: "../a.npy", data: good))),
    Malformed(
      "deflate without end", "format: file: a.npy: expected 3 deflated bytes to give ",
      archive(.init(name: "a.npy", data: [0x63, 0, 0], method: 8, uncompressedSize: 1 << 10))),
    Malformed("an inflated GiB", "", archive(bomb)),
    Malformed(
      "broken blocks", "format: file: a.npy: expected 4 deflated bytes to give 80, found ",
      archive(
        .init(name: "a.npy", data: [0xFF, 0xFF, 0xFF, 0xFF], method: 8, uncompressedSize: 80))),
    Malformed(
      "encrypted", "unsupported: file: a.npy: encrypted entries are not supported",
      archive(.init(name: "a.npy", data: good, flags: 1))),
    Malformed(
      "method 12", "unsupported: file: a.npy: expected compression method 0 or 8, found 12",
      archive(.init(name: "a.npy", data: good, method: 12))),
    Malformed(
      "objects within",
      "unsupported: file: a.npy: arrays of objects hold code and are not supported",
      archive(.init(name: "a.npy", data: npy("|O", "(1,)", [])))),
  ]

  @Test(arguments: malformedArchives) func malformedArchivesAreRefused(file: Malformed) {
    let text = outcome { try readAll(file.bytes) }
    #expect(text.hasPrefix(file.expected) && text != "no error", "\(text)")
  }

  static func pickle(_ pickle: Pickle) -> [UInt8] { pickle.stop }
  static let start = Pickle(protocol: 3)

  static let malformedPickles = [
    Malformed(
      "os.system",
      "unsupported: file @ 2: expected tensors only, found a reference to 'os.system', which is not called",
      start.global("os", "system").stop),
    Malformed(
      "another function of NumPy",
      "unsupported: file @ 2: expected tensors only, found a reference to 'numpy.load', which is not called",
      start.global("numpy", "load").stop),
    Malformed(
      "a scalar",
      "unsupported: file @ 2: expected tensors only, found a reference to 'numpy.core.multiarray.scalar', which is not called",
      start.global("numpy.core.multiarray", "scalar").stop),
    Malformed(
      "_codecs.encode",
      "unsupported: file @ 2: expected tensors only, found a reference to '_codecs.encode', which is not called",
      start.global("_codecs", "encode").stop),
    Malformed(
      "no arrays",
      "unsupported: file: expected an array, or a dictionary or list of arrays, found an integer",
      start.int(1).stop),
    Malformed(
      "an empty dictionary",
      "unsupported: file: expected an array, or a dictionary or list of arrays, found a dictionary",
      start.emptyDictionary.stop),
    Malformed(
      "an array without a state",
      "format: file: arr_0: expected an array with elements, found one without a state",
      start.global("numpy.core.multiarray", "_reconstruct").global("numpy", "ndarray").int(0)
        .adding([0x85]).bytes([0x62]).adding([0x87]).reduce.stop),
    Malformed(
      "ndarray called",
      "unsupported: file @ 18: numpy.ndarray is called, expected it as an argument only",
      start.global("numpy", "ndarray").emptyTuple.reduce.stop),
    Malformed(
      "_reconstruct of another class",
      "format: file @ 52: _reconstruct expects numpy.ndarray, a shape and a type",
      start.global("numpy.core.multiarray", "_reconstruct").global("numpy", "dtype").adding([0x85])
        .reduce.stop),
    Malformed(
      "data too short", "format: file @ 132: expected 8 bytes for float32 [2], found 4",
      start.ndarray("f4", [2], [0, 0, 0, 0]).stop),
    Malformed(
      "objects", "unsupported: file @ 94: arrays of objects hold code and are not supported",
      start.ndarray("O8", [1], []).stop),
    Malformed(
      "texts", "unsupported: file @ 95: element type 'U10' is not supported",
      start.ndarray("U10", [1], []).stop),
    Malformed(
      "nine axes", "format: file @ ", start.ndarray("f4", [1, 1, 1, 1, 1, 1, 1, 1, 1], []).stop),
    Malformed("negative extent", "format: file @ ", start.ndarray("f4", [-1], []).stop),
    Malformed("2^60 elements", "format: file @ ", start.ndarray("f4", [1 << 60], []).stop),
    Malformed("2^41 elements", "shape: file @ ", start.ndarray("f4", [1 << 30, 1 << 11], []).stop),
    Malformed(
      "byte order !", "format: file @ ", start.ndarray("f4", [1], [0, 0, 0, 0], order: "!").stop),
    Malformed(
      "a state twice", "format: file @ ",
      start.ndarray("f4", [1], [0, 0, 0, 0]).mark.int(1).tuple.op("b").stop),
    Malformed(
      "a list of itself", "limit: file: ",
      start.op("]").op("q").adding([0]).op("h").adding([0]).op("a").stop),
    Malformed(
      "a bool of 2", "format: file: arr_0: expected bytes 0 or 1 in a tensor of bool",
      start.ndarray("b1", [1], [2], order: "|").stop),
    Malformed(
      "two arrays of one name", "format: file: two arrays are named 'a'",
      start.emptyDictionary.mark.text("a").ndarray("f4", [0], []).text("a").ndarray("f4", [0], [])
        .setItems.stop),
    Malformed(
      "a name of bytes", "format: file: expected names as strings or integers, found bytes",
      start.emptyDictionary.mark.bytes([0]).ndarray("f4", [0], []).setItems.stop),
    Malformed(
      "behind STOP", "format: file @ 4: expected the end behind STOP, found 1 bytes",
      start.none.stop + [0]),
    Malformed(
      "protocol 5", "unsupported: file @ 0: expected pickle protocol 2 to 4, found 5",
      Pickle(protocol: 5).none.stop),
  ]

  @Test(arguments: malformedPickles) func malformedPicklesAreRefused(file: Malformed) {
    let text = outcome { try readAll(file.bytes) }
    #expect(text.hasPrefix(file.expected) && text != "no error", "\(text)")
  }

  /// Ten lists of ten times the list before.
  @Test func sharedListsAreCountedAsOftenAsTheyAreSeen() {
    var pickle = Pickle(protocol: 3).op("]")
    for level in 0..<10 {
      pickle = pickle.op("q").adding([UInt8(level)]).op("0").op("]").mark
      for _ in 0..<10 { pickle = pickle.op("h").adding([UInt8(level)]) }
      pickle = pickle.op("e")
    }
    let text = outcome { try readAll(pickle.stop) }
    #expect(text.hasPrefix("limit: file: expected at most 500000 values"), "\(text)")
  }
}
