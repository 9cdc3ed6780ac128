import Foundation
import Lamina
import LaminaTestSupport
import Testing

private func u16(_ number: UInt16) -> [UInt8] { littleEndian(number) }
private func u32(_ number: UInt32) -> [UInt8] { littleEndian(number) }
private func u64(_ number: UInt64) -> [UInt8] { littleEndian(number) }

/// Files of HDF5 that lie, each a small valid one with a few bytes changed.
struct HDF5HostileTests {
  /// Of `hdf5_tiny.h5`: the superblock at 0, groups at 96, 800, 1832 and 2864, datasets at 3896 and
  /// 6544, the chunks' B-tree at 6816.
  static let cases: [(name: String, expected: String, patches: [(offset: Int, bytes: [UInt8])])] = [
    (
      "no signature",
      "format: file: expected weights of safetensors, PyTorch, Keras, NumPy or Caffe, found another format",
      [(0, [136])]
    ),
    (
      "superblock of version 4",
      "unsupported: file @ 8: expected version 0 to 3 of a superblock, found 4",
      [(8, [4])]
    ),
    (
      "offsets of no bytes",
      "format: file @ 15: expected offsets and lengths of 2, 4 or 8 bytes, found 0 and 8",
      [(13, [0])]
    ),
    (
      "offsets of three bytes",
      "format: file @ 15: expected offsets and lengths of 2, 4 or 8 bytes, found 3 and 8",
      [(13, [3])]
    ),
    (
      "lengths of sixteen bytes",
      "format: file @ 15: expected offsets and lengths of 2, 4 or 8 bytes, found 8 and 16",
      [(14, [16])]
    ),
    (
      "base address beyond the file",
      "format: file @ 72: expected the base address 0, found 1000000",
      [(24, u64(1000000))]
    ),
    (
      "end of file beyond the file",
      "format: file @ 72: expected 1000000 bytes of file, found 13104",
      [(40, u64(1000000))]
    ),
    (
      "end of file above 2^63",
      "format: file @ 48: expected end of file within the file, found 9223372036854775808",
      [(40, u64(9223372036854775808))]
    ),
    (
      "root group undefined",
      "format: file @ 72: expected root group, found an undefined address",
      [(64, u64(.max))]
    ),
    (
      "root group beyond the file",
      "format: file @ 1000000: expected 0 bytes of object header, found 0",
      [(64, u64(1000000))]
    ),
    (
      "root group within a number",
      "format: file @ 9223372036854775807: expected 0 bytes of object header, found 0",
      [(64, u64(9223372036854775807))]
    ),
    (
      "root group is the superblock",
      "unsupported: file @ 0: expected version 1 of an object header, found 137",
      [(64, u64(0))]
    ),
    (
      "root group is a dataset",
      "format: file: expected a root group, found an object of another kind",
      [(64, u64(3896))]
    ),
    (
      "object header of another size",
      "format: file @ 112: expected 4294967295 bytes of object header, found 12992",
      [(104, u32(4294967295))]
    ),
    (
      "message past its block",
      "format: file @ 3920: expected 65535 bytes of message of type 1, found 248",
      [(3914, u16(65535))]
    ),
    (
      "header that continues in itself",
      "format: file @ 2904: the object header continues in a block that it already has",
      [(2888, u64(2880)), (2896, u64(24))]
    ),
    (
      "header that continues beyond the file",
      "format: file @ 13000: expected 1000000000 bytes of object header, found 104",
      [(2888, u64(13000)), (2896, u64(1000000000))]
    ),
    (
      "group that links to the root",
      "format: file: the group 'layers' is linked twice",
      [(1520, u64(96))]
    ),
    (
      "group that links to itself",
      "format: file: layers/dense: expected variables 0 to 0, found no 0",
      [(3584, u64(1832))]
    ),
    (
      "B-tree of chunks for names",
      "format: file @ 845: expected a B-tree of type 0, found 1",
      [(844, [1])]
    ),
    (
      "B-tree that is its own child",
      "format: file @ 840: the B-tree has a node twice",
      [(845, [1]), (872, u64(840))]
    ),
    (
      "B-tree of 65535 children",
      "format: file @ 864: expected 1048568 bytes of B-tree node, found 12240",
      [(846, u16(65535))]
    ),
    (
      "B-tree beyond the file",
      "format: file @ 1000000: expected 8 bytes of symbol table node, found 0",
      [(872, u64(1000000))]
    ),
    (
      "node of 65535 symbols",
      "format: file @ 1512: expected 2621400 bytes of symbols, found 11592",
      [(1510, u16(65535))]
    ),
    (
      "name beyond its heap",
      "format: file @ 1520: expected the offset of a name below 88, found 1000000",
      [(1512, u64(1000000))]
    ),
    (
      "name at 2^63",
      "format: file @ 1520: expected offset of a name below 2^63, found 9223372036854775808",
      [(1512, u64(9223372036854775808))]
    ),
    (
      "heap of 2^62 bytes",
      "format: file @ 1416: expected 4611686018427387904 bytes of local heap, found 11688",
      [(1392, u64(4611686018427387904))]
    ),
    (
      "heap without an end of names",
      "format: file @ 2552: the name of a member has no end",
      [(1392, u64(9))]
    ),
    (
      "heap with another signature",
      "format: file @ 1384: expected the signature 'HEAP'",
      [(1384, [72, 69, 65, 81])]
    ),
    (
      "soft link",
      "unsupported: file: soft links are not supported, found 'layers'",
      [(1528, u32(2))]
    ),
    ("33 axes", "format: file @ 3920: expected at most 8 axes, found 33", [(3921, [33])]),
    (
      "negative extent",
      "format: file @ 3936: expected extent below 2^63, found 18446744073709551615",
      [(3928, u64(18446744073709551615))]
    ),
    (
      "extents of 10^6 x 10^6",
      "format: file @ 4034: expected 4000000000000 bytes of data, found 24",
      [(3928, u64(1000000)), (3936, u64(1000000)), (3944, u64(.max)), (3952, u64(.max))]
    ),
    (
      "extent above the largest",
      "format: file @ 3920: expected an extent of at most 1, found 2",
      [(3944, u64(1))]
    ),
    (
      "datatype of no bytes",
      "format: file @ 3968: expected a datatype of at least 1 byte, found 0",
      [(3972, u32(0))]
    ),
    (
      "datatype of 1 GiB",
      "unsupported: file: layers/dense/vars/0: expected numbers, found float of 1073741824 bytes that is none of IEEE 754",
      [(3972, u32(1073741824))]
    ),
    (
      "compound type",
      "unsupported: file: layers/dense/vars/0: expected numbers, found compound",
      [(3968, [22])]
    ),
    (
      "reference type",
      "unsupported: file: layers/dense/vars/0: expected numbers, found reference",
      [(3968, [23])]
    ),
    (
      "odd exponent",
      "unsupported: file: layers/dense/vars/0: expected numbers, found float of 4 bytes that is none of IEEE 754",
      [(3980, [22])]
    ),
    (
      "layout of version 9",
      "unsupported: file @ 4016: expected version 1 to 5 of a layout, found 9",
      [(4016, [9])]
    ),
    (
      "virtual dataset",
      "unsupported: file: layers/dense/vars/0: virtual datasets are not supported",
      [(4016, [4, 3])]
    ),
    (
      "data beyond the file",
      "format: file: layers/dense/vars/0: expected 24 bytes of data at 1000000 of 13104, found fewer",
      [(4018, u64(1000000))]
    ),
    (
      "data never written",
      "format: file: layers/dense/vars/0: expected data, found a dataset that was never written",
      [(4018, u64(.max))]
    ),
    (
      "fewer bytes than elements",
      "format: file @ 4034: expected 24 bytes of data, found 20",
      [(4026, u64(20))]
    ),
    (
      "external files",
      "unsupported: file: layers/dense/vars/0: external files are not supported",
      [(3992, u16(7))]
    ),
    (
      "no datatype",
      "format: file: layers/dense/vars/0: expected a datatype, found none",
      [(3960, u16(0))]
    ),
    (
      "two datatypes",
      "format: file @ 4000: expected one message of type 3, found 2",
      [(3992, u16(3))]
    ),
    (
      "shared datatype",
      "unsupported: file @ 3968: shared messages are not supported",
      [(3964, [3])]
    ),
    (
      "chunk of no elements",
      "format: file @ 6707: expected chunks of at least 1 element, found [0, 4]",
      [(6699, u32(0))]
    ),
    (
      "chunk of 2^31 elements",
      "format: file: layers/dense/vars/1: expected chunks of at most 2^32 bytes, found [2147483648, 4]",
      [(6699, u32(2147483648))]
    ),
    (
      "chunks of another rank",
      "format: file @ 6711: expected chunks of 1 axes, found 2",
      [(6690, [3])]
    ),
    (
      "chunks of other elements",
      "format: file: layers/dense/vars/1: expected chunks of elements of 4 bytes, found 8",
      [(6703, u32(8))]
    ),
    (
      "chunk outside",
      "format: file @ 6856: expected a chunk within [3], found one at [3]",
      [(6848, u64(3))]
    ),
    (
      "chunk below the first",
      "format: file @ 6856: expected offset of a chunk below 2^63, found 18446744073709551615",
      [(6848, u64(18446744073709551615))]
    ),
    (
      "two chunks at one place",
      "format: file @ 6888: two chunks lie at [0]",
      [(6822, u16(2)), (6880, u64(0)), (6896, u64(7000))]
    ),
    (
      "chunk beyond the file",
      "format: file @ 4520: expected 1000000 bytes of a chunk",
      [(6840, u32(1000000))]
    ),
    (
      "no chunks",
      "format: file: layers/dense/vars/1: expected 1 chunks, found 0",
      [(6822, u16(0))]
    ),
    (
      "unknown filter",
      "unsupported: file: layers/dense/vars/1: expected filters deflate and shuffle, found filter 32000",
      [(6656, u16(32000))]
    ),
    ("255 filters", "format: file @ 6650: expected at most 32 filters, found 255", [(6649, [255])]),
  ]

  @Test func theSeedIsRead() throws {
    let tensors = try readAll(try fixture("hdf5_tiny.h5"))
    #expect(tensors["fc.weight"]?.elements(as: Float.self) == [0, 3, 1, 4, 2, 5])
    #expect(tensors["fc.bias"]?.elements(as: Float.self) == [0, 1, 2])
  }

  @Test(arguments: cases.indices)
  func liesAreRefused(_ index: Int) throws {
    let (name, expected, patches) = Self.cases[index]
    var bytes = try fixture("hdf5_tiny.h5")
    for (offset, patch) in patches {
      bytes.replaceSubrange(offset..<offset + patch.count, with: patch)
    }
    #expect(outcome { try readAll(bytes) } == expected, "\(name)")
  }

  @Test func everyTruncationIsRefused() throws {
    let bytes = try fixture("hdf5_tiny.h5")
    for count in 0..<bytes.count {
      let text = outcome { try readAll(Array(bytes[..<count])) }
      #expect(text.hasPrefix("format: "), "\(count) bytes: \(text)")
    }
  }

  /// A flipped bit gives an error of ours or a tensor, in bounded memory.
  @Test(arguments: ["hdf5_tiny.h5", "hdf5_latest.h5"])
  func everyFlippedBitIsSurvived(_ name: String) throws {
    var bytes = try fixture(name)
    var limits = Limits()
    limits.memoryBytes = 1 << 24
    var refused = 0
    for offset in bytes.indices where bytes[offset] != 0 || offset % 16 == 0 {
      for bit in 0..<8 {
        bytes[offset] ^= 1 << bit
        let text = outcome { try readAll(bytes, limits: limits) }
        bytes[offset] ^= 1 << bit
        #expect(!text.hasPrefix("another error"), "bit \(bit) of byte \(offset): \(text)")
        refused += text == "no error" ? 0 : 1
      }
    }
    #expect(refused > 1000)
  }

  /// Structures of the newer kind carry checksums.
  @Test(arguments: ["OHDR", "FRHP", "FHDB", "BTHD", "BTLF"])
  func brokenChecksumsAreRefused(_ signature: String) throws {
    var bytes = try fixture("hdf5_latest.h5")
    let name = Array(signature.utf8)
    let places = bytes.indices.filter { bytes[$0...].starts(with: name) }
    let place = try #require(places.last)
    bytes[place + 14] ^= 1
    let text = outcome { try readAll(bytes) }
    #expect(text.hasPrefix("format: ") || text.hasPrefix("unsupported: "), "\(text)")
    #expect(!places.isEmpty)
  }
}

/// Archives and configurations of Keras that cannot become models.
struct KerasHostileTests {
  private func model(_ config: String) -> String {
    outcome {
      let archive = try kerasArchive(config)
      _ = try ModelFile.load(bytes: archive, name: "file", registry: .standard)
    }
  }

  private func kerasArchive(_ config: String) throws -> [UInt8] {
    ZipFixture(entries: [
      ZipFixture.Entry(name: "config.json", data: Array(config.utf8)),
      ZipFixture.Entry(name: "model.weights.h5", data: try fixture("hdf5_tiny.h5")),
    ]).bytes
  }

  private func sequential(_ layers: String) -> String {
    """
    {"class_name": "Sequential", "config": {"name": "net", "layers": [{"class_name": "InputLayer", \
    "config": {"name": "x", "batch_shape": [null, 2]}}, \(layers)]}}
    """
  }

  @Test func theSeedIsAModel() throws {
    #expect(
      model(sequential(#"{"class_name": "Dense", "config": {"name": "fc", "units": 3}}"#))
        == "no error")
  }

  @Test func codeIsRefusedByName() {
    #expect(
      model(sequential(#"{"class_name": "Lambda", "config": {"name": "run", "function": "x"}}"#))
        == "unsupported: file: layer 'run' of class Lambda holds code, which is never run")
  }

  @Test func allUnknownLayersAreListed() {
    #expect(
      model(
        sequential(
          #"{"class_name": "LSTM", "config": {"name": "a"}}, {"class_name": "GRU", "config": {"name": "b"}}"#
        ))
        == "unsupported: file: 2 problems: layer 'a' of class LSTM is not supported; layer 'b' of class GRU is not supported"
    )
  }

  static let configs: [(config: String, expected: String)] = [
    ("", "format: file: config.json @ 0: expected a value, found the end of the text"),
    ("[]", "format: file: config.json: expected an object, found array"),
    (
      #"{"class_name": "Evil", "config": {}}"#,
      "unsupported: file: config.json: expected a Sequential or Functional model, found class 'Evil'"
    ),
    (
      #"{"class_name": "Sequential", "config": {}}"#,
      "format: file: config.json: expected a list of layers, found none"
    ),
    (
      #"{"class_name": "Functional"}"#,
      "format: file: config.json: expected a field 'config', found none"
    ),
    (
      #"{"class_name": "Sequential", "config": {"layers": [{"class_name": "InputLayer", "config": {"name": "x", "batch_shape": [null, -2]}}]}}"#,
      "format: file: x: expected extents from 1, found -2"
    ),
  ]

  @Test(arguments: configs.indices)
  func brokenConfigurationsAreRefused(_ index: Int) {
    #expect(model(Self.configs[index].config) == Self.configs[index].expected)
  }

  @Test func aCycleOfLayersIsRefused() {
    let config = """
      {"class_name": "Functional", "config": {"name": "net", "layers": [\
      {"class_name": "InputLayer", "name": "x", "config": {"batch_shape": [null, 2]}, "inbound_nodes": []},\
      {"class_name": "Add", "name": "a", "config": {}, "inbound_nodes": [[["x", 0, 0, {}], ["b", 0, 0, {}]]]},\
      {"class_name": "ReLU", "name": "b", "config": {}, "inbound_nodes": [[["a", 0, 0, {}]]]}],\
      "input_layers": [["x", 0, 0]], "output_layers": [["b", 0, 0]]}}
      """
    #expect(
      model(config)
        == "graph: file: a: expected inputs from layers before it, found a cycle or an unknown layer"
    )
  }
}
