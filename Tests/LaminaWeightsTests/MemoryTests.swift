import Foundation
import Lamina
import LaminaTestSupport
import Testing

/// A hostile file is refused before it takes much more memory than its own size.
@Suite(.serialized) struct MemoryTests {
  static let mebibyte = 1 << 20

  static let hostile: [(name: String, bytes: @Sendable () -> [UInt8])] = [
    (
      "a header of one array",
      { safeTensors(#"{"a":{"shape":[0"# + String(repeating: ",0", count: 4 << 20)) }
    ),
    (
      "a header of metadata",
      {
        safeTensors(
          #"{"__metadata__":{"#
            + (0..<800_000).map { "\"\($0)\":\"\"" }.joined(separator: ",") + "}}")
      }
    ),
    (
      "a header of tensors on one range",
      { safeTensors("{" + (0..<200_000).map { "\"\($0)\":{}" }.joined(separator: ",") + "}") }
    ),
    ("a header of brackets", { safeTensors("{" + String(repeating: "[", count: 8 << 20)) }),
    (
      "nested tuples",
      { torchZip(Pickle().emptyTuple.adding([UInt8](repeating: 0x85, count: 8 << 20)).stop).bytes }
    ),
    ("marks", { torchZip(Pickle().adding([UInt8](repeating: 0x28, count: 8 << 20)).stop).bytes }),
    (
      "memo entries",
      { torchZip(Pickle().none.adding([UInt8](repeating: 0x94, count: 8 << 20)).stop).bytes }
    ),
    (
      "texts",
      {
        let text: [UInt8] = [0x8C, 16] + [UInt8](repeating: 0x61, count: 16)
        return torchZip(Pickle().adding((0..<460_000).flatMap { _ in text }).stop).bytes
      }
    ),
    (
      "a storage of 64 GiB",
      {
        torchZip(
          Pickle().emptyDictionary.mark.text("a")
            .tensor(key: "0", count: 1 << 34, size: [1 << 30, 16], stride: [16, 1]).setItems.stop,
          storages: ["0": [0, 0, 0, 0]]
        ).bytes
      }
    ),
    (
      "a deflate bomb",
      {
        var zip = validZip
        zip.entries[2].method = 8
        zip.entries[2].uncompressedSize = .max - 1
        return zip.bytes
      }
    ),
    (
      "a zip of 60000 entries",
      { ZipFixture(entries: (0..<60_000).map { .init(name: "m/\($0)", data: []) }).bytes }
    ),
  ]

  /// Peak and present resident memory in bytes; the peak starts anew when it is reset.
  private func resident(_ field: String) throws -> Int {
    let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
    let line = try #require(status.split(separator: "\n").first { $0.hasPrefix(field) })
    return try #require(Int(line.filter(\.isNumber))) * 1024
  }

  private func resetPeak() throws {
    let handle = try #require(FileHandle(forWritingAtPath: "/proc/self/clear_refs"))
    try handle.write(contentsOf: Data("5".utf8))
    try handle.close()
  }

  @Test(
    .enabled(if: FileManager.default.isWritableFile(atPath: "/proc/self/clear_refs")),
    arguments: hostile.indices)
  func hostileFilesAreRefusedEarly(index: Int) throws {
    let (name, make) = Self.hostile[index]
    let bytes = make()
    var smallest = Int.max
    // Tests run beside this one add to the figure but never take away: the smallest of some tries is near
    // the truth.
    for _ in 0..<50 {
      let before = try resident("VmRSS:")
      try resetPeak()
      let text = outcome { try readAll(bytes) }
      smallest = min(smallest, try resident("VmHWM:") - before)
      #expect(text != "no error" && !text.hasPrefix("another"), "\(name): \(text)")
      if smallest <= bytes.count + 64 * Self.mebibyte { break }
    }
    #expect(
      smallest <= bytes.count + 64 * Self.mebibyte,
      "\(name): \(smallest >> 20) MiB for a file of \(bytes.count >> 20) MiB")
  }
}
