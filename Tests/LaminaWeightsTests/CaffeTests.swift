import Foundation
import Lamina
import LaminaTestSupport
import Testing

/// Writes protobuf fields.
enum Wire {
  static func varint(_ number: UInt64) -> [UInt8] {
    var (rest, bytes) = (number, [UInt8]())
    while rest >= 0x80 {
      bytes.append(UInt8(rest & 0x7F) | 0x80)
      rest >>= 7
    }
    return bytes + [UInt8(rest)]
  }
  static func int(_ field: Int, _ number: Int) -> [UInt8] {
    varint(UInt64(field) << 3) + varint(UInt64(bitPattern: Int64(number)))
  }
  static func bytes(_ field: Int, _ bytes: [UInt8]) -> [UInt8] {
    varint(UInt64(field) << 3 | 2) + varint(UInt64(bytes.count)) + bytes
  }
  static func text(_ field: Int, _ text: String) -> [UInt8] { bytes(field, Array(text.utf8)) }
}

/// Writes files of Caffe.
enum Caffe {
  static func blob(_ shape: [Int], _ numbers: [Float]) -> [UInt8] {
    Wire.bytes(7, Wire.bytes(1, shape.flatMap { Wire.varint(UInt64($0)) }))
      + Wire.bytes(5, littleEndian(numbers))
  }
  static func legacyBlob(_ shape: [Int], _ numbers: [Float]) -> [UInt8] {
    shape.enumerated().flatMap { Wire.int($0.offset + 1, $0.element) }
      + Wire.bytes(5, littleEndian(numbers))
  }
  static func doubleBlob(_ shape: [Int], _ numbers: [Double]) -> [UInt8] {
    Wire.bytes(7, Wire.bytes(1, shape.flatMap { Wire.varint(UInt64($0)) }))
      + Wire.bytes(8, numbers.flatMap { littleEndian($0.bitPattern) })
  }
  static func layer(_ name: String, _ kind: String, _ blobs: [UInt8]..., more: [UInt8] = [])
    -> [UInt8]
  {
    Wire.bytes(
      100,
      Wire.text(1, name) + Wire.text(2, kind) + blobs.flatMap { Wire.bytes(7, $0) } + more)
  }
  static func v1Layer(_ name: String, _ kind: Int, _ blobs: [UInt8]...) -> [UInt8] {
    Wire.bytes(
      2, Wire.text(4, name) + Wire.int(5, kind) + blobs.flatMap { Wire.bytes(6, $0) })
  }
  static func net(_ layers: [UInt8]...) -> [UInt8] {
    Wire.text(1, "net") + layers.flatMap { $0 }
  }
}

/// `ip.weight` and `ip.bias` of the usual numbers.
let validCaffe = Caffe.net(
  Caffe.layer(
    "ip", "InnerProduct", Caffe.blob([2, 3], weightNumbers), Caffe.blob([2], biasNumbers)))

@Suite struct CaffeTests {
  private func read(_ bytes: [UInt8], _ key: String) throws -> (Shape, [Float]) {
    let tensor = try #require(try readAll(bytes)[key])
    return (tensor.shape, tensor.elements(as: Float.self))
  }

  @Test func layersHaveLaminasNames() throws {
    let file = Caffe.net(
      Caffe.layer("data", "Input"),
      Caffe.layer(
        "conv", "Convolution", Caffe.blob([1, 1, 1, 2], [1, 2]), Caffe.blob([1], [3])),
      Caffe.layer(
        "bn", "BatchNorm", Caffe.blob([2], [2, 4]), Caffe.blob([2], [6, 8]), Caffe.blob([1], [2])),
      Caffe.layer("scale", "Scale", Caffe.blob([2], [1, 2]), Caffe.blob([2], [3, 4])),
      Caffe.layer("relu", "PReLU", Caffe.blob([2], [1, 2])))
    let source = try openTensorSource(bytes: file, name: "file")
    #expect(source.provenance == "file (Caffe, net)")
    #expect(
      source.keys == [
        "conv.weight", "conv.bias", "bn.running_mean", "bn.running_var", "scale.weight",
        "scale.bias", "relu.weight",
      ])
    #expect(try read(file, "conv.weight") == ([1, 1, 1, 2], [1, 2]))
    #expect(try read(file, "bn.running_mean") == ([2], [1, 2]))
    #expect(try read(file, "bn.running_var") == ([2], [3, 4]))
    #expect(try read(file, "scale.bias") == ([2], [3, 4]))
  }

  @Test func aFactorOfZeroGivesZeros() throws {
    let file = Caffe.net(
      Caffe.layer(
        "bn", "BatchNorm", Caffe.blob([1], [2]), Caffe.blob([1], [6]), Caffe.blob([1], [0])))
    #expect(try read(file, "bn.running_mean") == ([1], [0]))
  }

  @Test func theFormOf2014IsRead() throws {
    let file = Caffe.net(
      Caffe.v1Layer(
        "conv", 4, Caffe.legacyBlob([2, 1, 1, 1], [1, 2]), Caffe.legacyBlob([1, 1, 1, 2], [3, 4])),
      Caffe.v1Layer(
        "fc", 14, Caffe.legacyBlob([1, 1, 2, 3], weightNumbers),
        Caffe.legacyBlob([1, 1, 1, 2], biasNumbers)))
    #expect(try read(file, "conv.weight") == ([2, 1, 1, 1], [1, 2]))
    #expect(try read(file, "conv.bias") == ([2], [3, 4]))
    #expect(try read(file, "fc.weight") == ([2, 3], weightNumbers))
    #expect(try read(file, "fc.bias") == ([2], biasNumbers))
  }

  @Test func doublesAndTransposedWeightsAreRead() throws {
    let file = Caffe.net(
      Caffe.layer(
        "fc", "InnerProduct", Caffe.doubleBlob([3, 2], [1, 4, 2, 5, 3, 6]),
        more: Wire.bytes(117, Wire.int(6, 1))))
    #expect(try read(file, "fc.weight") == ([2, 3], weightNumbers))
  }

  @Test func dataInPiecesAreJoined() throws {
    let blob =
      Wire.bytes(7, Wire.bytes(1, [2])) + Wire.bytes(5, littleEndian([Float(7)]))
      + Wire.bytes(5, littleEndian([Float(8)]))
    #expect(try read(Caffe.net(Caffe.layer("a", "Scale", blob)), "a.weight") == ([2], [7, 8]))
  }

  private static func one(_ blob: [UInt8], _ kind: String = "Scale") -> [UInt8] {
    Caffe.net(Caffe.layer("a", kind, blob))
  }
  private static let scalar = Caffe.blob([1], [1])
  private static let none = "format: file: expected layers with weights, found none"

  static let malformed = [
    Malformed("no layers", none, Caffe.net(Caffe.layer("a", "ReLU"))),
    Malformed(
      "a name beyond the end",
      "format: file: expected weights of safetensors, PyTorch, Keras, NumPy or Caffe, found another format",
      [0x0A, 0x20, 0x61, 0x61]),
    Malformed(
      "a layer beyond the end", "format: file @ 5: expected 16 bytes of field 100, found 1",
      Wire.text(1, "net") + [0xA2, 0x06, 0x10, 0x0A]),
    Malformed(
      "a length of 2^63",
      "format: file @ 5: expected 9223372036854775808 bytes of field 100, found 0",
      Wire.text(1, "net") + [0xA2, 0x06] + Wire.varint(1 << 63)),
    Malformed(
      "a group", "format: file @ 8: expected wire type 0, 1, 2 or 5 in field 1, found 3",
      Wire.text(1, "net") + [0xA2, 0x06, 0] + [0x0B]),
    Malformed(
      "field 0", "format: file @ 8: expected a field number in 1...536870911, found 0",
      Wire.text(1, "net") + [0xA2, 0x06, 0, 0x02, 0]),
    Malformed(
      "a varint of 11 bytes", "format: file @ 9: a varint is longer than 64 bits",
      Wire.text(1, "net") + [0xA2, 0x06, 0, 0x20] + [UInt8](repeating: 0xFF, count: 11)),
    Malformed("too few numbers", "format: file @ ", one(Caffe.blob([3], [1, 2]))),
    Malformed("too many numbers", "format: file @ ", one(Caffe.blob([1], [1, 2]))),
    Malformed("3 bytes of floats", "format: file @ ", one(Wire.bytes(5, [0, 0, 0]))),
    Malformed("4 bytes of doubles", "format: file @ ", one(Wire.bytes(8, [0, 0, 0, 0]))),
    Malformed(
      "floats and doubles", "format: file @ ",
      one(Wire.bytes(5, [0, 0, 0, 0]) + Wire.bytes(8, [UInt8](repeating: 0, count: 8)))),
    Malformed("a negative extent", "shape: file @ ", one(Caffe.legacyBlob([-1, 1, 1, 1], [1]))),
    Malformed("extents beyond 2^40", "shape: file @ ", one(Caffe.blob([1 << 30, 1 << 30], [1]))),
    Malformed(
      "1e6 × 1e6 × 1e6", "shape: file @ ", one(Caffe.blob([1_000_000, 1_000_000, 1_000_000], [1]))),
    Malformed("2^31 columns", "shape: file @ ", one(Caffe.blob([1 << 31], [1]))),
    Malformed("nine axes", "shape: file @ ", one(Caffe.blob([1, 1, 1, 1, 1, 1, 1, 1, 1], [1]))),
    Malformed("33 axes", "limit: file @ ", one(Caffe.blob([Int](repeating: 1, count: 33), [1]))),
    Malformed(
      "numbers one by one", "format: file @ ",
      one(Wire.bytes(7, Wire.bytes(1, [1])) + [0x2D, 0, 0, 0, 0])),
    Malformed(
      "BatchNorm without its factor",
      "format: file: a: expected mean, variance and one factor, found 2 blobs",
      Caffe.net(Caffe.layer("a", "BatchNorm", scalar, scalar))),
    Malformed(
      "BatchNorm of two factors",
      "format: file: a: expected mean, variance and one factor, found 3 blobs",
      Caffe.net(Caffe.layer("a", "BatchNorm", scalar, scalar, Caffe.blob([2], [1, 1])))),
    Malformed(
      "weights of 3 axes", "format: file: a: expected weights of 2 axes, found [2, 1, 1]",
      one(Caffe.blob([2, 1, 1], [1, 2]), "InnerProduct")),
    Malformed(
      "two layers of one name", "format: file: two tensors are named 'a.weight'",
      Caffe.net(Caffe.layer("a", "Scale", scalar), Caffe.layer("a", "Scale", scalar))),
    Malformed(
      "65 blobs", "limit: file @ ",
      Wire.text(1, "net")
        + Wire.bytes(100, Wire.text(1, "a") + (0..<65).flatMap { _ in Wire.bytes(7, scalar) })),
    Malformed(
      "a name that is no text", "format: file @ ",
      Wire.text(1, "net") + Wire.bytes(100, Wire.bytes(1, [0xFF]))),
    Malformed(
      "a layer within a V1 layer",
      "unsupported: file @ 7: layers of Caffe before 2014 are not supported: upgrade the file with upgrade_net_proto_binary",
      Wire.text(1, "net") + Wire.bytes(2, Wire.bytes(1, []))),
    Malformed(
      "a double beyond float32",
      "weights: file: a.weight: expected numbers within float32, found 1e+300",
      one(Caffe.doubleBlob([1], [1e300]))),
  ]

  @Test(arguments: malformed) func malformedFilesAreRefused(file: Malformed) {
    let text = outcome { try readAll(file.bytes) }
    #expect(text.hasPrefix(file.expected) && text != "no error", "\(text)")
  }

  @Test func everyTruncationIsAnErrorOrHasFewerTensors() throws {
    for count in 0..<validCaffe.count {
      let text = outcome { try readAll(Array(validCaffe[..<count])) }
      #expect(text != "no error" && !text.hasPrefix("another"), "\(count) bytes: \(text)")
    }
  }
}

private func == (a: (Shape, [Float]), b: (Shape, [Float])) -> Bool { a.0 == b.0 && a.1 == b.1 }
