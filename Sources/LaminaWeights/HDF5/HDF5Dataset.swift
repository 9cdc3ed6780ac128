import LaminaCore

/// Numbers in a file: where they lie and how they are packed.
struct HDF5Dataset: Sendable {
  private enum Layout {
    case compact(Range<Int>)
    case contiguous(Int?)
    case chunked(Index, extents: [Int])
  }

  private enum Index {
    case tree(Int?)
    case single(Int?, byteCount: Int?, mask: Int)
    case implicit(Int?)
  }

  private enum Filter: Int {
    case deflate = 1
    case shuffle = 2
    case fletcher32 = 3
  }

  private struct Chunk {
    var origin: [Int]
    var address: Int
    var byteCount: Int
    var mask: Int
  }

  let spec: TensorSpec
  private let isBigEndian: Bool
  private let layout: Layout
  private let filters: [Filter]
  private let format: HDF5Format
  private let path: String

  /// - Throws: `format`, `unsupported` for element types, filters and layouts that are not read,
  ///   `limit`.
  init(_ object: HDF5Object, _ reader: HDF5Reader, path: String) throws {
    format = reader.format
    self.path = path
    func required(_ type: Int, _ what: String) throws -> HDF5Cursor {
      guard let cursor = try object.message(type) else {
        throw LaminaError(.format, "expected \(what), found none", path: path)
      }
      return cursor
    }
    if try object.message(HDF5Object.Kind.externalFiles) != nil {
      throw LaminaError(.unsupported, "external files are not supported", path: path)
    }
    var typeCursor = try required(HDF5Object.Kind.datatype, "a datatype")
    guard case .number(let type, let isBigEndian) = try HDF5Type(&typeCursor) else {
      var again = try required(HDF5Object.Kind.datatype, "a datatype")
      throw LaminaError(
        .unsupported, "expected numbers, found \(try HDF5Type(&again).name)", path: path)
    }
    self.isBigEndian = isBigEndian
    var spaceCursor = try required(HDF5Object.Kind.dataspace, "a dataspace")
    let dimensions = try HDF5Dataspace.read(&spaceCursor)
    spec = TensorSpec(try withErrorPath(path) { try Shape(dimensions) }, type)
    filters =
      try object.message(HDF5Object.Kind.filters).map {
        try HDF5Dataset.filters($0, path: path)
      } ?? []
    var layoutCursor = try required(HDF5Object.Kind.layout, "a layout")
    layout = try HDF5Dataset.layout(
      &layoutCursor, rank: dimensions.count, byteCount: spec.byteCount,
      isFiltered: !filters.isEmpty, path: path)
    try check()
  }

  private static func filters(_ cursor: HDF5Cursor, path: String) throws -> [Filter] {
    var cursor = cursor
    let version = try cursor.expect(version: 1...2, of: "a filter pipeline")
    let count = try cursor.byte("number of filters")
    guard count <= 32 else { throw cursor.failure("expected at most 32 filters, found \(count)") }
    if version == 1 { try cursor.skip(6, "reserved bytes") }
    return try (0..<count).map { _ in
      let id = try cursor.short("filter")
      let nameCount = version == 1 || id >= 256 ? try cursor.short("length of a name") : 0
      try cursor.skip(2, "flags of a filter")
      let values = try cursor.short("number of client values")
      try cursor.skip(version == 1 ? (nameCount + 7) / 8 * 8 : nameCount, "name of a filter")
      try cursor.skip(4 * values + (version == 1 && values % 2 == 1 ? 4 : 0), "client values")
      guard let filter = Filter(rawValue: id) else {
        throw LaminaError(
          .unsupported, "expected filters deflate and shuffle, found filter \(id)", path: path)
      }
      return filter
    }
  }

  private static func layout(
    _ cursor: inout HDF5Cursor, rank: Int, byteCount: Int, isFiltered: Bool, path: String
  ) throws -> Layout {
    let version = try cursor.expect(version: 1...5, of: "a layout")
    func unsupported(_ what: String) -> LaminaError {
      LaminaError(.unsupported, "\(what) are not supported", path: path)
    }
    func chunkExtents(_ extents: [Int]) throws -> [Int] {
      guard extents.count == rank + 1, rank > 0 else {
        throw cursor.failure("expected chunks of \(rank) axes, found \(extents.count - 1)")
      }
      guard extents.allSatisfy({ $0 > 0 }) else {
        throw cursor.failure("expected chunks of at least 1 element, found \(extents)")
      }
      return extents
    }
    if version < 3 {
      let count = try cursor.byte("number of axes")
      let kind = try cursor.byte("class of a layout")
      try cursor.skip(5, "reserved bytes")
      let address = kind == 0 ? nil : try cursor.optionalAddress("address of the data")
      let extents = try (0..<count).map { _ in try cursor.word("extent of a chunk") }
      switch kind {
      case 0:
        let size = try cursor.word("size of compact data")
        let start = cursor.position
        try cursor.skip(size, "compact data")
        return .compact(start..<start + size)
      case 1: return .contiguous(address)
      case 2: return .chunked(.tree(address), extents: try chunkExtents(extents))
      default: throw unsupported("layouts of class \(kind)")
      }
    }
    switch try cursor.byte("class of a layout") {
    case 0:
      let size = try cursor.short("size of compact data")
      let start = cursor.position
      try cursor.skip(size, "compact data")
      return .compact(start..<start + size)
    case 1:
      let address = try cursor.optionalAddress("address of the data")
      let size = try cursor.length("size of the data")
      guard size == byteCount else {
        throw cursor.failure("expected \(byteCount) bytes of data, found \(size)")
      }
      return .contiguous(address)
    case 2 where version == 3:
      let count = try cursor.byte("number of axes")
      let address = try cursor.optionalAddress("B-tree of chunks")
      let extents = try (0..<count).map { _ in try cursor.word("extent of a chunk") }
      return .chunked(.tree(address), extents: try chunkExtents(extents))
    case 2:
      let flags = try cursor.byte("flags of a layout")
      let count = try cursor.byte("number of axes")
      let width = try cursor.byte("bytes of an extent")
      guard (1...8).contains(width) else {
        throw cursor.failure("expected extents of 1 to 8 bytes, found \(width)")
      }
      let extents = try chunkExtents(
        (0..<count).map { _ in try cursor.integer(width, "extent of a chunk") })
      switch try cursor.byte("index of chunks") {
      case 1:
        var size: Int?
        var mask = 0
        if flags & 2 != 0 {
          size = try cursor.length("size of a chunk")
          mask = try cursor.word("filter mask")
        }
        let address = try cursor.optionalAddress("address of a chunk")
        return .chunked(.single(address, byteCount: size, mask: mask), extents: extents)
      case 2 where !isFiltered:
        return .chunked(
          .implicit(try cursor.optionalAddress("address of the chunks")), extents: extents)
      case let index:
        let names = [3: "fixed arrays", 4: "extensible arrays", 5: "B-trees of version 2"]
        throw unsupported("\(names[index] ?? "indexes of type \(index)") of chunks")
      }
    case 3: throw unsupported("virtual datasets")
    case let kind: throw unsupported("layouts of class \(kind)")
    }
  }

  /// Compares sizes with the file before anything is allocated.
  private func check() throws {
    let size = format.source.byteCount
    switch layout {
    case .compact(let range):
      guard range.count == spec.byteCount else {
        throw LaminaError(
          .format, "expected \(spec.byteCount) bytes of compact data, found \(range.count)",
          path: path)
      }
    case .contiguous(let address):
      guard filters.isEmpty else {
        throw LaminaError(.format, "expected chunks behind filters, found none", path: path)
      }
      guard spec.byteCount > 0 else { return }
      guard let address else { throw neverWritten }
      let (start, overflow) = address.addingReportingOverflow(format.base)
      guard !overflow, start >= 0, start <= size, spec.byteCount <= size - start else {
        throw LaminaError(
          .format, "expected \(spec.byteCount) bytes of data at \(address) of \(size), found fewer",
          path: path)
      }
    case .chunked(_, let extents):
      let chunkBytes = try chunkByteCount(extents)
      // Deflate packs 1032 bytes into one at best.
      let (most, overflow) = size.multipliedReportingOverflow(by: 1032)
      guard overflow || (spec.byteCount <= most && chunkBytes <= most) else {
        throw LaminaError(
          .format, "expected data that \(size) bytes of file can hold, found \(spec.shape)",
          path: path)
      }
      try withErrorPath(path) { try format.limits.checkMemory(chunkBytes, for: "a chunk") }
    }
  }

  /// Where the data start: files are written from one dataset to the next.
  var position: Int {
    switch layout {
    case .compact(let range): range.lowerBound
    case .contiguous(let address): address ?? .max
    case .chunked(.tree(let address), _), .chunked(.implicit(let address), _): address ?? .max
    case .chunked(.single(let address, _, _), _): address ?? .max
    }
  }

  private var neverWritten: LaminaError {
    LaminaError(.format, "expected data, found a dataset that was never written", path: path)
  }

  private func chunkByteCount(_ extents: [Int]) throws -> Int {
    guard extents.last == spec.type.byteCount else {
      throw LaminaError(
        .format,
        "expected chunks of elements of \(spec.type.byteCount) bytes, found \(extents.last ?? 0)",
        path: path)
    }
    var count = 1
    for extent in extents {
      let (product, overflow) = count.multipliedReportingOverflow(by: extent)
      guard !overflow, product <= 1 << 32 else {
        throw LaminaError(
          .format, "expected chunks of at most 2^32 bytes, found \(extents)", path: path)
      }
      count = product
    }
    return count
  }

  // MARK: - Reading

  /// Writes the elements in the machine's byte order into exactly `spec.byteCount` bytes.
  func read(into target: UnsafeMutableRawBufferPointer) throws {
    guard target.count == spec.byteCount else {
      throw LaminaError(
        .argument, "expected a buffer of \(spec.byteCount) bytes, found \(target.count)", path: path
      )
    }
    guard spec.byteCount > 0 else { return }
    switch layout {
    case .compact(let range): try format.source.read(at: range.lowerBound, into: target)
    case .contiguous(let address):
      guard let address else { throw neverWritten }
      try format.source.read(at: address + format.base, into: target)
    case .chunked(let index, let extents): try readChunks(index, extents, into: target)
    }
    if isBigEndian { swapBytes(target) }
  }

  private func swapBytes(_ target: UnsafeMutableRawBufferPointer) {
    let size = spec.type.byteCount
    for start in stride(from: 0, to: target.count, by: size) {
      for k in 0..<size / 2 { target.swapAt(start + k, start + size - 1 - k) }
    }
  }

  private func readChunks(
    _ index: Index, _ extents: [Int], into target: UnsafeMutableRawBufferPointer
  ) throws {
    let rank = spec.shape.rank
    let grid = (0..<rank).map { (spec.shape[$0] + extents[$0] - 1) / extents[$0] }
    let chunkBytes = try chunkByteCount(extents)
    let total = try withErrorPath(path) { try Shape(grid).count }
    let reader = HDF5Reader(format)
    var count = 0
    var buffer = [UInt8](repeating: 0, count: chunkBytes)
    func place(_ chunk: Chunk) throws {
      count += 1
      try unpack(chunk, into: &buffer)
      copy(buffer, extents, origin: chunk.origin, into: target)
    }
    switch index {
    case .single(let address, let size, let mask):
      guard let address else { throw neverWritten }
      guard total == 1 else {
        throw LaminaError(.format, "expected \(total) chunks, found a single one", path: path)
      }
      try place(
        Chunk(
          origin: [Int](repeating: 0, count: rank), address: address,
          byteCount: size ?? chunkBytes, mask: mask))
    case .implicit(let address):
      guard let address else { throw neverWritten }
      var odometer = IndexOdometer(grid)
      for number in 0..<total {
        let (offset, overflow) = number.multipliedReportingOverflow(by: chunkBytes)
        let (start, overflow2) = address.addingReportingOverflow(offset)
        guard !overflow, !overflow2 else { throw neverWritten }
        try place(
          Chunk(
            origin: zip(odometer.index, extents).map(*), address: start, byteCount: chunkBytes,
            mask: 0))
        odometer.advance()
      }
    case .tree(let root):
      guard let root else { throw neverWritten }
      var seen: Set<[Int]> = []
      try HDF5Tree.forEachLeaf(reader, root: root, type: 1, keyCount: 8 + 8 * (rank + 1)) {
        key, address in
        let size = try key.word("size of a chunk")
        let mask = try key.word("filter mask")
        let origin = try (0..<rank).map { _ in try key.integer(8, "offset of a chunk") }
        guard
          (0..<rank).allSatisfy({ origin[$0] < spec.shape[$0] && origin[$0] % extents[$0] == 0 })
        else {
          throw key.failure("expected a chunk within \(spec.shape), found one at \(origin)")
        }
        guard seen.insert(origin).inserted else {
          throw key.failure("two chunks lie at \(origin)")
        }
        try place(Chunk(origin: origin, address: address, byteCount: size, mask: mask))
      }
    }
    guard count == total else {
      throw LaminaError(.format, "expected \(total) chunks, found \(count)", path: path)
    }
  }

  /// The chunk's elements, filters taken off from the last to the first.
  private func unpack(_ chunk: Chunk, into buffer: inout [UInt8]) throws {
    let (start, overflow) = chunk.address.addingReportingOverflow(format.base)
    let size = format.source.byteCount
    guard !overflow, start >= 0, start <= size, chunk.byteCount <= size - start else {
      throw format.source.failure("expected \(chunk.byteCount) bytes of a chunk", at: chunk.address)
    }
    let place = "\(path) @ \(start)"
    var bytes = try format.source.bytes(start..<start + chunk.byteCount)
    for (number, filter) in filters.enumerated().reversed()
    where chunk.mask >> number & 1 == 0 {
      switch filter {
      case .deflate:
        let suffix = filters[..<number].contains(.fletcher32) ? 4 : 0
        bytes = try [UInt8](unsafeUninitializedCapacity: buffer.count + suffix) { target, count in
          count = buffer.count + suffix
          try Deflate.inflate(
            bytes,
            into: UnsafeMutableRawBufferPointer(
              UnsafeMutableBufferPointer(rebasing: target[..<count])),
            isWrapped: true, path: place)
        }
      case .shuffle:
        let size = spec.type.byteCount
        let count = bytes.count / size
        var unshuffled = bytes
        for plane in 0..<size {
          for element in 0..<count {
            unshuffled[element * size + plane] = bytes[plane * count + element]
          }
        }
        bytes = unshuffled
      case .fletcher32:
        guard bytes.count >= 4 else {
          throw LaminaError(.format, "expected a checksum, found \(bytes.count) bytes", path: place)
        }
        let stored = bytes.suffix(4).reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        bytes.removeLast(4)
        let found = HDF5Checksum.fletcher32(bytes)
        guard found == stored else {
          throw LaminaError(
            .format,
            "expected checksum \(String(stored, radix: 16)) of a chunk, found \(String(found, radix: 16))",
            path: place)
        }
      }
    }
    guard bytes.count == buffer.count else {
      throw LaminaError(
        .format, "expected \(buffer.count) bytes of a chunk, found \(bytes.count)", path: place)
    }
    buffer = bytes
  }

  /// Copies the part of a chunk that lies within the dataset, row by row.
  private func copy(
    _ chunk: [UInt8], _ extents: [Int], origin: [Int], into target: UnsafeMutableRawBufferPointer
  ) {
    let rank = spec.shape.rank
    let size = spec.type.byteCount
    let part = (0..<rank).map { min(extents[$0], spec.shape[$0] - origin[$0]) }
    let strides = spec.shape.strides
    var chunkStrides = [Int](repeating: 1, count: rank)
    for axis in (0..<rank - 1).reversed() {
      chunkStrides[axis] = chunkStrides[axis + 1] * extents[axis + 1]
    }
    let rowBytes = part[rank - 1] * size
    var odometer = IndexOdometer(Array(part.dropLast()))
    chunk.withUnsafeBytes { source in
      for _ in 0..<part.dropLast().reduce(1, *) {
        var from = 0
        var to = origin[rank - 1]
        for axis in 0..<rank - 1 {
          from += odometer.index[axis] * chunkStrides[axis]
          to += (origin[axis] + odometer.index[axis]) * strides[axis]
        }
        UnsafeMutableRawBufferPointer(rebasing: target[to * size..<to * size + rowBytes])
          .copyMemory(
            from: UnsafeRawBufferPointer(rebasing: source[from * size..<from * size + rowBytes]))
        odometer.advance()
      }
    }
  }
}

extension HDF5Checksum {
  /// The checksum that the filter of that name puts behind a chunk, over words of 16 bits, the
  /// upper byte first.
  static func fletcher32(_ bytes: [UInt8]) -> UInt32 {
    var (a, b): (UInt32, UInt32) = (0, 0)
    for index in stride(from: 0, to: bytes.count, by: 2) {
      let low = index + 1 < bytes.count ? UInt32(bytes[index + 1]) : 0
      a += UInt32(bytes[index]) << 8 | low
      a = a & 0xFFFF + a >> 16
      b += a
      b = b & 0xFFFF + b >> 16
    }
    return b << 16 | a
  }
}
