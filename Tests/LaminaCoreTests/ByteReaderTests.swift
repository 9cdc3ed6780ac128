import Lamina
import LaminaTestSupport
import Testing

struct ByteReaderTests {
  private let bytes: [UInt8] = [1, 2, 3, 4, 0x61, 0xC3]

  @Test func readsLittleEndian() throws {
    var reader = try ByteReader(bytes, path: "f")
    #expect(try reader.integer(UInt16.self) == 0x0201)
    #expect(try reader.byte() == 3)
    #expect(reader.offset == 3 && reader.remaining == 3 && !reader.isAtEnd)
    try reader.seek(to: 0)
    #expect(try reader.integer(Int32.self) == 0x0403_0201)
    #expect(try reader.string(1) == "a")
    #expect(try reader.slice(1) == [0xC3])
    #expect(reader.isAtEnd)
  }

  @Test func staysWithinItsBytes() throws {
    var reader = try ByteReader(bytes, range: 1..<5, path: "f")
    expectError(.format, "expected 8 bytes of size, found 4", path: "f @ 1") {
      try reader.integer(UInt64.self, "size")
    }
    #expect(reader.offset == 1)
    for count in [5, Int.max, -1, Int.min] {
      expectError(.format, "expected \(count) bytes of data, found 4", path: "f @ 1") {
        try reader.range(count)
      }
    }
    expectError(.format, "expected an offset up to 5, found 6", path: "f @ 1") {
      try reader.seek(to: 6)
    }
    expectError(.format, "expected an offset up to 5, found -1", path: "f @ 1") {
      try reader.seek(to: -1)
    }
    _ = try reader.slice(4)
    expectError(.format, "expected a tag, found the end", path: "f @ 5") { try reader.byte("tag") }
    expectError(.format, "expected 7 bytes, found 6", path: "f") {
      try ByteReader(bytes, range: 2..<7, path: "f")
    }
  }

  @Test func refusesBadText() throws {
    var reader = try ByteReader(bytes, range: 4..<6, path: "f")
    expectError(.format, "name is not UTF-8", path: "f @ 4") { try reader.string(2, "name") }
  }
}
