import Foundation
import Lamina
import LaminaTestSupport
import Testing

struct FileTests {
  @Test func readsRanges() throws {
    try withTemporaryFolder { folder in
      try Data([1, 2, 3]).write(to: URL(filePath: "\(folder)/f"))
      let file = try FileReader(path: "\(folder)/f")
      #expect(file.byteCount == 3)
      #expect(try file.bytes(1..<3) == [2, 3])
      #expect(try file.allBytes() == [1, 2, 3])
      #expect(try file.bytes(3..<3) == [])
      expectError(.format, "expected 4 bytes, found 3", path: "\(folder)/f") {
        try file.bytes(1..<4)
      }
      expectError(.limit, "expected at most 2 bytes, found 3", path: "\(folder)/f") {
        try FileReader(path: "\(folder)/f", maximumBytes: 2)
      }
      let descriptor = open("\(folder)/f", O_RDONLY)
      defer { close(descriptor) }
      #expect(try FileReader(descriptor: descriptor).allBytes() == [1, 2, 3])
    }
    expectError(.argument, "bad file descriptor", path: "file descriptor") {
      try FileReader(descriptor: -1)
    }
  }

  @Test func refusesWhatIsNoFile() throws {
    try withTemporaryFolder { folder in
      expectError(.argument, "expected a regular file, found a directory", path: folder) {
        try FileReader(path: folder)
      }
      #expect(mkfifo("\(folder)/fifo", 0o600) == 0)
      expectError(.argument, "expected a regular file, found a FIFO", path: "\(folder)/fifo") {
        try FileReader(path: "\(folder)/fifo")
      }
      expectError(.notFound, "no such file or directory", path: "\(folder)/none") {
        try FileReader(path: "\(folder)/none")
      }
      expectError(.notFound, "not a directory", path: "/dev/null/none") {
        try FileReader(path: "/dev/null/none")
      }
    }
    expectError(.argument, "expected a regular file, found a device", path: "/dev/zero") {
      try FileReader(path: "/dev/zero")
    }
    for path in ["", "/tmp/a\0b"] {
      expectError(.argument, "expected a path, found an empty one or one with a NUL") {
        try FileReader(path: path)
      }
      expectError(.argument, "expected a path, found an empty one or one with a NUL") {
        try AtomicFileWriter(path: path)
      }
    }
    expectError(.io, "file name too long") {
      try FileReader(path: "/" + String(repeating: "a", count: 5000))
    }
  }

  @Test func noticesAFileThatShrinks() throws {
    try withTemporaryFolder { folder in
      try Data([1, 2, 3]).write(to: URL(filePath: "\(folder)/f"))
      let file = try FileReader(path: "\(folder)/f")
      #expect(truncate("\(folder)/f", 1) == 0)
      expectError(.format, "expected 3 bytes, found 1", path: "\(folder)/f @ 0") {
        try file.allBytes()
      }
    }
  }

  @Test func writesAllOrNothing() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/f"
      func names() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder)
      }
      func write(_ bytes: [UInt8], commits: Bool) throws {
        let writer = try AtomicFileWriter(path: path)
        try writer.write(bytes)
        if commits { try writer.commit() }
      }
      try write([9], commits: false)
      #expect(try names() == [])
      try write([1, 2], commits: true)
      #expect(try FileReader(path: path).allBytes() == [1, 2])
      #expect(chmod(path, 0o640) == 0)
      try write([3], commits: false)
      #expect(try FileReader(path: path).allBytes() == [1, 2])
      try write([4, 5, 6], commits: true)
      #expect(try FileReader(path: path).allBytes() == [4, 5, 6])
      #expect(
        try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int == 0o640)
      #expect(try names() == ["f"])
      expectError(.notFound, "no such file or directory", path: "\(folder)/none/f") {
        try AtomicFileWriter(path: "\(folder)/none/f")
      }
    }
  }

  @Test func leavesNothingWhenTheNameIsTaken() throws {
    try withTemporaryFolder { folder in
      try FileManager.default.createDirectory(
        atPath: "\(folder)/d", withIntermediateDirectories: false)
      let writer = try AtomicFileWriter(path: "\(folder)/d")
      try writer.write([1])
      expectError(.io, "is a directory", path: "\(folder)/d") { try writer.commit() }
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["d"])
    }
  }
}
