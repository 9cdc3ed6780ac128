/// A JPEG taken apart into segments and the data of its scans.
struct JPEGBuilder {
  struct Segment {
    var marker: UInt8
    var data: [UInt8]
    /// What follows up to the next marker segment: the entropy-coded data of a scan.
    var scan: [UInt8] = []
  }

  var segments: [Segment] = []

  /// One of the fixtures.
  init(_ name: String) {
    self.init(decoded(base64: Fixtures.jpegs.first { $0.name == name }?.data ?? ""))
  }

  init(_ bytes: [UInt8]) {
    var offset = 2
    while offset + 4 <= bytes.count, bytes[offset + 1] != 0xD9 {
      let end = offset + 2 + Int(bytes[offset + 2]) << 8 + Int(bytes[offset + 3])
      var segment = Segment(marker: bytes[offset + 1], data: Array(bytes[offset + 4..<end]))
      var next = end
      while bytes[next] != 0xFF || bytes[next + 1] == 0 || 0xD0...0xD7 ~= bytes[next + 1] {
        next += 1
      }
      segment.scan = Array(bytes[end..<next])
      segments.append(segment)
      offset = next
    }
  }

  func index(_ marker: UInt8) -> Int { segments.firstIndex { $0.marker == marker } ?? 0 }

  subscript(marker: UInt8) -> Segment {
    get { segments[index(marker)] }
    set { segments[index(marker)] = newValue }
  }

  mutating func remove(_ marker: UInt8) { segments.removeAll { $0.marker == marker } }

  mutating func insert(_ marker: UInt8, _ data: [UInt8], at index: Int = 0) {
    segments.insert(Segment(marker: marker, data: data), at: index)
  }

  /// Inserts an EXIF segment with one directory entry for the orientation.
  mutating func insertOrientation(_ value: Int, littleEndian: Bool = false) {
    insert(0xE1, Array("Exif\0\0".utf8) + JPEGBuilder.exif(value, littleEndian: littleEndian))
  }

  /// A TIFF structure with one directory entry.
  static func exif(_ value: Int, littleEndian: Bool = false) -> [UInt8] {
    func number(_ value: Int, _ count: Int) -> [UInt8] {
      let bytes = bigEndian(value, bytes: count)
      return littleEndian ? bytes.reversed() : bytes
    }
    let header: [UInt8] = Array((littleEndian ? "II" : "MM").utf8) + number(42, 2) + number(8, 4)
    let entry: [UInt8] = number(0x0112, 2) + number(3, 2) + number(1, 4) + number(value, 2)
    return header + number(1, 2) + entry + [0, 0, 0, 0, 0, 0]
  }

  var bytes: [UInt8] { bytes(end: [0xFF, 0xD9]) }

  func bytes(end: [UInt8]) -> [UInt8] {
    var result: [UInt8] = [0xFF, 0xD8]
    for segment in segments {
      result += [0xFF, segment.marker] + bigEndian(segment.data.count + 2, bytes: 2)
      result += segment.data + segment.scan
    }
    return result + end
  }
}
