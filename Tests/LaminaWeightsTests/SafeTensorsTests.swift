import Foundation
import Lamina
import LaminaTestSupport
import Testing

private func entry(_ dtype: String, _ shape: String, _ offsets: String) -> String {
  #"{"a":{"dtype":"\#(dtype)","shape":\#(shape),"data_offsets":\#(offsets)}}"#
}

private func two(_ a: String, _ b: String) -> String {
  #"{"a":{"dtype":"U8","shape":[4],"data_offsets":\#(a)},"b":{"dtype":"U8","shape":[4],"data_offsets":\#(b)}}"#
}

private func readSafeTensors(_ bytes: [UInt8]) throws {
  let source = try SafeTensors(.memory(bytes, name: "file"))
  for key in source.keys { _ = try source.tensor(key) }
}

private let zeros4 = [UInt8](repeating: 0, count: 4)
private let zeros8 = [UInt8](repeating: 0, count: 8)
private let valid = entry("U8", "[4]", "[0,4]")

@Suite struct SafeTensorsTests {
  static let malformed = [
    Malformed(
      "no bytes",
      "format: file @ 0: expected 8 bytes of header length, found 0", []),
    Malformed(
      "seven bytes",
      "format: file @ 0: expected 8 bytes of header length, found 7", [2, 0, 0, 0, 0, 0, 0]),
    Malformed(
      "header longer than the file",
      "format: file @ 8: expected 3 bytes of header, found 2", safeTensors("{}", length: 3)),
    Malformed(
      "header of 2^63 bytes",
      "format: file @ 0: expected a header of at most 100000000 bytes, found 9223372036854775808",
      safeTensors("{}", length: 1 << 63)),
    Malformed(
      "header of 2^64-1 bytes",
      "format: file @ 0: expected a header of at most 100000000 bytes, found 18446744073709551615",
      safeTensors("{}", length: .max)),
    Malformed(
      "header of 100000001 bytes",
      "format: file @ 0: expected a header of at most 100000000 bytes, found 100000001",
      safeTensors("{}  ", length: 100_000_001)),
    Malformed(
      "header of 2^32 bytes",
      "format: file @ 0: expected a header of at most 100000000 bytes, found 4294967296",
      safeTensors("{}  ", length: 1 << 32)),
    Malformed(
      "header of 0 bytes",
      "format: file @ 8: expected a header that starts with '{'", safeTensors("", data: zeros8)),
    Malformed(
      "empty header with data",
      "format: file: expected 0 bytes of data, found 4", safeTensors("{}", data: zeros4)),
    Malformed(
      "not UTF-8",
      "format: file header @ 1: a string is not UTF-8",
      littleEndian(UInt64(6)) + [0x7B, 0x22, 0xFF, 0x22, 0x3A, 0x7D]),
    Malformed(
      "an array",
      "format: file @ 8: expected a header that starts with '{'", safeTensors("[1, 2]")),
    Malformed(
      "garbage behind",
      "format: file header @ 53: expected the end of the text, found 'x'",
      safeTensors(valid + "x", data: zeros4)),
    Malformed(
      "unfinished",
      "format: file header @ 5: expected a value, found the end of the text", safeTensors(#"{"a":"#)
    ),
    Malformed(
      "duplicate name",
      "format: file header @ 53: duplicate key 'a'",
      safeTensors(
        String(valid.dropLast()) + "," + valid.dropFirst(), data: zeros4)),
    Malformed(
      "duplicate name by escapes",
      "format: file header @ 53: duplicate key 'a'",
      safeTensors(
        String(valid.dropLast()) + "," + valid.dropFirst().replacing(#""a""#, with: #""\u0061""#),
        data: zeros4)),
    Malformed(
      "duplicate field",
      "format: file header @ 19: duplicate key 'dtype'",
      safeTensors(valid.replacing(#""shape""#, with: #""dtype":"U8","shape""#), data: zeros4)),
    Malformed(
      "missing field",
      "format: file: a.data_offsets: expected an array, found nothing",
      safeTensors(#"{"a":{"dtype":"U8","shape":[4]}}"#, data: zeros4)),
    Malformed(
      "extra field",
      "format: file: a: unknown field 'shapes', nearest is 'shape'",
      safeTensors(valid.replacing(#""shape""#, with: #""shapes":[4],"shape""#), data: zeros4)),
    Malformed(
      "entry no object",
      "format: file: a: expected an object, found array", safeTensors(#"{"a":[1]}"#, data: zeros4)),
    Malformed(
      "begin after end",
      "format: file: a.data_offsets: expected begin ≤ end ≤ 4, found 4 and 0",
      safeTensors(entry("U8", "[4]", "[4,0]"), data: zeros4)),
    Malformed(
      "starts at 4",
      "format: file: a: expected data from 0, found 4: a hole",
      safeTensors(entry("U8", "[4]", "[4,8]"), data: zeros8)),
    Malformed(
      "gap",
      "format: file: b: expected data from 4, found 5: a hole",
      safeTensors(two("[0,4]", "[5,9]"), data: zeros8 + [0])),
    Malformed(
      "overlap",
      "format: file: b: expected data from 4, found 2: an overlap",
      safeTensors(two("[0,4]", "[2,6]"), data: zeros8)),
    Malformed(
      "same range",
      "format: file: b: expected data from 4, found 0: an overlap",
      safeTensors(two("[0,4]", "[0,4]"), data: zeros4)),
    Malformed(
      "bytes behind",
      "format: file: expected 4 bytes of data, found 8", safeTensors(valid, data: zeros8)),
    Malformed(
      "end beyond the file",
      "format: file: a.data_offsets: expected begin ≤ end ≤ 3, found 0 and 4",
      safeTensors(valid, data: [0, 0, 0])),
    Malformed(
      "extent 2^64-2",
      "format: file: a.shape: expected integers from 0, found 1.8446744073709552e+19",
      safeTensors(entry("U8", "[2,18446744073709551614]", "[0,4]"), data: zeros4)),
    Malformed(
      "extent 2^63-1",
      "shape: file: a.shape: expected extents in 0...2147483647, found 9223372036854775807 in [2, 9223372036854775807]",
      safeTensors(entry("I32", "[2,9223372036854775807]", "[0,4]"), data: zeros4)),
    Malformed(
      "product beyond 2^40",
      "shape: file: a.shape: expected at most 2^40 elements, found [2147483647, 2147483647, 2147483647]",
      safeTensors(entry("I32", "[2147483647,2147483647,2147483647]", "[0,4]"), data: zeros4)),
    Malformed(
      "shape and range differ",
      "format: file: a.data_offsets: expected 5 bytes for U8 [5], found 4",
      safeTensors(entry("U8", "[5]", "[0,4]"), data: zeros4)),
    Malformed(
      "nine axes",
      "shape: file: a.shape: expected at most 8 axes, found 9",
      safeTensors(entry("U8", "[1,1,1,1,1,1,1,1,4]", "[0,4]"), data: zeros4)),
    Malformed(
      "unknown type",
      "format: file: a.dtype: unknown element type 'F128'",
      safeTensors(entry("F128", "[4]", "[0,4]"), data: zeros4)),
    Malformed(
      "F8",
      "unsupported: file: a: element type F8_E4M3 is not supported",
      safeTensors(entry("F8_E4M3", "[4]", "[0,4]"), data: zeros4)),
    Malformed(
      "F4 of odd bits",
      "format: file: a.shape: expected whole bytes for F4 [3], found 12 bits",
      safeTensors(entry("F4", "[3]", "[0,1]"), data: [0])),
    Malformed(
      "C64",
      "unsupported: file: a: element type C64 is not supported",
      safeTensors(entry("C64", "[]", "[0,8]"), data: zeros8)),
    Malformed(
      "negative extent",
      "format: file: a.shape: expected integers from 0, found -1",
      safeTensors(entry("U8", "[-1]", "[0,4]"), data: zeros4)),
    Malformed(
      "fraction",
      "format: file: a.shape: expected integers from 0, found 4.0",
      safeTensors(entry("U8", "[4.0]", "[0,4]"), data: zeros4)),
    Malformed(
      "exponent",
      "format: file: a.shape: expected integers from 0, found 4.0",
      safeTensors(entry("U8", "[4e0]", "[0,4]"), data: zeros4)),
    Malformed(
      "string for a number",
      #"format: file: a.shape: expected integers from 0, found "4""#,
      safeTensors(entry("U8", #"["4"]"#, "[0,4]"), data: zeros4)),
    Malformed(
      "null for a number",
      "format: file: a.shape: expected integers from 0, found null",
      safeTensors(entry("U8", "[null]", "[0,4]"), data: zeros4)),
    Malformed(
      "true for a number",
      "format: file: a.shape: expected integers from 0, found true",
      safeTensors(entry("U8", "[true]", "[0,4]"), data: zeros4)),
    Malformed(
      "forty digits",
      "format: file: a.data_offsets: expected integers from 0, found 1e+39",
      safeTensors(entry("U8", "[4]", "[0,1000000000000000000000000000000000000000]"), data: zeros4)),
    Malformed(
      "three offsets",
      "format: file: a.data_offsets: expected 2 integers, found 3",
      safeTensors(entry("U8", "[4]", "[0,4,4]"), data: zeros4)),
    Malformed(
      "metadata of numbers",
      "format: file: __metadata__: expected metadata 'n' to be a string, found integer",
      safeTensors(#"{"__metadata__":{"n":1},"# + valid.dropFirst(), data: zeros4)),
    Malformed(
      "metadata no object",
      "format: file: __metadata__: expected an object, found string",
      safeTensors(#"{"__metadata__":"x"}"#)),
    Malformed(
      "deep nesting",
      "limit: file header @ 7: expected at most 3 levels of nesting",
      safeTensors(#"{"a":"# + String(repeating: "[", count: 100_000))),
    Malformed(
      "lone surrogate",
      "format: file header @ 2: a lone surrogate", safeTensors(#"{"\ud800":1}"#)),
    Malformed(
      "bool of 2",
      "format: file: a: expected bytes 0 or 1 in a tensor of bool",
      safeTensors(entry("BOOL", "[4]", "[0,4]"), data: [0, 1, 2, 1])),
  ]

  @Test(arguments: malformed) func malformedFilesAreErrors(file: Malformed) {
    #expect(outcome { try readSafeTensors(file.bytes) } == file.expected)
  }

  @Test func oddButValidFilesLoad() throws {
    #expect(try readAll(safeTensors("{}")).isEmpty)
    #expect(try readAll(safeTensors("\n \t{}  ")).isEmpty)
    let scalar = try readAll(
      safeTensors(entry("I64", "[]", "[0,8]"), data: littleEndian(Int64(-5))))
    #expect(scalar["a"]?.elements(as: Int64.self) == [-5])
    let empty = try readAll(safeTensors(entry("F32", "[2,0]", "[0,0]")))
    #expect(empty["a"]?.shape == [2, 0])
    let special = try readAll(
      safeTensors(entry("F32", "[2]", "[0,8]"), data: littleEndian([.nan, -.infinity])))
    #expect(special["a"]?.elements(as: Float.self).description == "[nan, -inf]")
    let unordered = two("[4,8]", "[0,4]")
    let read = try readAll(safeTensors(unordered, data: [1, 2, 3, 4, 5, 6, 7, 8]))
    #expect(read["a"]?.elements(as: UInt8.self) == [5, 6, 7, 8])
    let source = try openTensorSource(bytes: safeTensors(unordered, data: zeros8))
    #expect(source.keys == ["a", "b"])
    for name in ["", "../x", #"a\nb"#, String(repeating: "n", count: 1_000_000)] {
      let file = safeTensors(valid.replacing(#""a""#, with: "\"\(name)\""), data: zeros4)
      #expect(try readAll(file).count == 1)
    }
  }

  @Test func metadataAndNamesAreThere() throws {
    let file = try SafeTensors(.memory(validSafeTensors, name: "file"))
    #expect(file.metadata("format") == "pt")
    #expect(file.metadata("none") == nil)
    #expect(file.keys == ["weight", "bias"])
    #expect(file.provenance == "file (safetensors)")
    expectError(
      .notFound, "no tensor named 'weigth', nearest is 'weight'", path: "file (safetensors)"
    ) { try file.spec("weigth") }
    expectError(
      .argument, "expected a buffer of 8 bytes, found 4", path: "file: bias"
    ) {
      try withUnsafeTemporaryAllocation(byteCount: 4, alignment: 4) {
        try file.read("bias", into: $0)
      }
    }
  }

  @Test func tooManyTensorsAreRefused() {
    var limits = Limits()
    limits.tensorsPerFile = 1
    expectError(.limit, "expected at most 1 values, found more", path: "file @ 100") {
      try readAll(validSafeTensors, limits: limits)
    }
  }

  @Test func writtenFilesReadBackAndAreDeterministic() throws {
    let tensors: [String: Tensor] = [
      "f64": try Tensor([2], [1.5, -.infinity]), "f32": try Tensor([1, 3], [Float(1), 2, .pi]),
      "i64": try Tensor([], [Int64.min]), "i32": try Tensor([2], [Int32(1), -1]),
      "i16": try Tensor([1], [Int16(-3)]), "i8": try Tensor([3], [Int8(1), 2, 3]),
      "u8": try Tensor([1], [UInt8(255)]), "u16": try Tensor([1], [UInt16.max]),
      "u32": try Tensor([1], [UInt32.max]), "u64": try Tensor([1], [UInt64.max]),
      "bool": try Tensor([2], [true, false]), "empty": try Tensor([0, 4], [Float]()),
      "f16": try Tensor(zeros: [3], .float16), "bf16": try Tensor(zeros: [2, 2], .bfloat16),
    ]
    let metadata = [(key: "b", value: "ü\n\"x\""), (key: "a", value: "")]
    let bytes = try SafeTensors.bytes(tensors, metadata: metadata)
    #expect(equalBytes(try readAll(bytes), tensors))
    #expect(try SafeTensors.bytes(tensors, metadata: metadata) == bytes)
    let headerCount = bytes[0..<8].enumerated().reduce(0) {
      $0 + Int($1.element) << (8 * $1.offset)
    }
    #expect(headerCount % 8 == 0)
    let file = try SafeTensors(.memory(bytes, name: "file"))
    #expect(file.metadata.map(\.key) == ["b", "a"])
    #expect(file.metadata("b") == "ü\n\"x\"")
    #expect(
      file.keys == [
        "f64", "i64", "u64", "empty", "f32", "i32", "u32", "bf16", "f16", "i16", "u16", "bool",
        "i8",
        "u8",
      ])
    try withTemporaryFolder { folder in
      let path = folder + "/x.safetensors"
      try SafeTensors.write(tensors, metadata: metadata, to: path)
      #expect(try Data(contentsOf: URL(filePath: path)).elementsEqual(bytes))
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["x.safetensors"])
    }
    expectError(.argument, "expected another tensor name than '__metadata__'") {
      try SafeTensors.bytes(["__metadata__": Tensor(zeros: [1])])
    }
  }

  @Test func filesAndDescriptorsReadAlike() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/x.bin"
      try Data(validSafeTensors).write(to: URL(filePath: path))
      let source = try openTensorSource(path: path)
      #expect(source.provenance == "\(path) (safetensors)")
      #expect(try source.tensor("weight").elements(as: Float.self) == weightNumbers)
      let handle = try #require(FileHandle(forReadingAtPath: path))
      let second = try openTensorSource(descriptor: handle.fileDescriptor)
      try handle.close()
      #expect(try second.tensor("bias").elements(as: Float.self) == biasNumbers)
      expectError(.notFound, "no such file or directory") { try openTensorSource(path: path + "x") }
      expectError(.argument, "expected a regular file, found a directory", path: folder) {
        try openTensorSource(path: folder)
      }
    }
  }

  @Test func shrinkingFilesAreErrors() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/x.safetensors"
      try Data(validSafeTensors).write(to: URL(filePath: path))
      let source = try openTensorSource(path: path)
      let handle = try #require(FileHandle(forWritingAtPath: path))
      try handle.truncate(atOffset: UInt64(validSafeTensors.count - 4))
      try handle.close()
      #expect(try source.tensor("weight").elements(as: Float.self) == weightNumbers)
      expectError(
        .format, "expected 8 bytes, found 4", path: "\(path) @ \(validSafeTensors.count - 8)"
      ) {
        try source.tensor("bias")
      }
    }
  }

  @Test func otherFormatsAreNamed() {
    let tar =
      [UInt8](repeating: 0, count: 257) + Array("ustar".utf8) + [UInt8](repeating: 0, count: 250)
    expectError(
      .unsupported,
      "tar files of PyTorch before 0.1.10 are not supported: load and save again with torch.save",
      path: "file"
    ) { try readAll(tar) }
    expectError(.format, "expected the signature of HDF5, found none", path: "file") {
      try readAll([0x89, 0x48, 0x44, 0x46, 0x0D])
    }
    expectError(
      .format,
      "expected weights of safetensors, PyTorch, Keras, NumPy or Caffe, found another format",
      path: "file"
    ) { try readAll(Array("hello, world".utf8)) }
  }
}
