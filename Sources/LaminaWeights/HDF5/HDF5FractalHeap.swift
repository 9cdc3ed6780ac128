import LaminaCore

/// Links and attributes of objects that have many: messages in a fractal heap, found by a B-tree of
/// version 2.
struct HDF5FractalHeap {
  private let reader: HDF5Reader
  private let address: Int
  private let offsetBytes: Int
  private let lengthBytes: Int
  private let width: Int
  private let startSize: Int
  private let maximumDirectSize: Int
  private let rootAddress: Int?
  private let rootRows: Int
  private let hasBlockChecksums: Bool
  private var blocks: [Int: HDF5Cursor] = [:]

  /// Every message that the heap of an info message holds; empty when there is no heap.
  ///
  /// - Parameter prefix: the types of B-tree that may stand there, and for each the bytes before
  ///   the heap's identifier in its records.
  static func objects(
    _ reader: HDF5Reader, _ info: inout HDF5Cursor, prefix: [Int: Int]
  ) throws -> [HDF5Cursor] {
    let heapAddress = try info.optionalAddress("fractal heap")
    let treeAddress = try info.optionalAddress("B-tree of names")
    guard let heapAddress, let treeAddress else { return [] }
    var heap = try HDF5FractalHeap(reader, at: heapAddress)
    var result: [HDF5Cursor] = []
    try HDF5Tree2.forEachRecord(reader, at: treeAddress, types: Set(prefix.keys)) { type, record in
      try record.skip(prefix[type] ?? 0, "key of a record")
      result.append(try heap.object(&record))
    }
    return result
  }

  private init(_ reader: HDF5Reader, at address: Int) throws {
    let (offset, length) = (reader.format.offsetSize, reader.format.lengthSize)
    var head = try reader.cursor(
      at: address, count: 26 + 3 * offset + 12 * length, of: "fractal heap")
    try head.expect(signature: "FRHP")
    _ = try head.expect(version: 0...0, of: "a fractal heap")
    try head.skip(2, "length of identifiers")
    let filterCount = try head.short("filters of a fractal heap")
    guard filterCount == 0 else {
      throw LaminaError(
        .unsupported, "filtered fractal heaps are not supported", path: reader.format.source.name)
    }
    hasBlockChecksums = try head.byte("flags of a fractal heap") & 2 != 0
    let maximumManaged = try head.word("largest managed object")
    try head.skip(2 * offset + 10 * length, "statistics of a fractal heap")
    width = try head.short("table width")
    startSize = try head.length("starting block size")
    maximumDirectSize = try head.length("largest direct block")
    let bits = try head.short("bits of a heap's size")
    try head.skip(2, "starting rows")
    rootAddress = try head.optionalAddress("root block")
    rootRows = try head.short("rows of the root block")
    try head.expectChecksum(of: "a fractal heap")
    func isPowerOfTwo(_ value: Int) -> Bool { value > 0 && value & (value - 1) == 0 }
    guard isPowerOfTwo(width), isPowerOfTwo(startSize), isPowerOfTwo(maximumDirectSize),
      startSize <= maximumDirectSize, maximumDirectSize <= 1 << 32, maximumManaged > 0,
      (1...48).contains(bits), rootRows <= 64
    else { throw head.failure("the sizes of a fractal heap make no sense") }
    func bytes(_ value: Int) -> Int { ((Int.bitWidth - 1 - value.leadingZeroBitCount) + 7) / 8 }
    offsetBytes = (bits + 7) / 8
    lengthBytes = max(1, min(bytes(maximumDirectSize), bytes(maximumManaged)))
    self.reader = reader
    self.address = address
  }

  private mutating func object(_ record: inout HDF5Cursor) throws -> HDF5Cursor {
    let flags = try record.byte("identifier in a heap")
    guard flags & 0xC0 == 0, flags >> 4 & 3 == 0 else {
      throw LaminaError(
        .unsupported, "huge and tiny objects of a fractal heap are not supported",
        path: "\(record.format.source.name) @ \(record.position)")
    }
    let offset = try record.integer(offsetBytes, "offset in a heap")
    let count = try record.integer(lengthBytes, "length in a heap")
    let (block, blockOffset) = try directBlock(holding: offset)
    guard offset - blockOffset <= block.bytes.count,
      count <= block.bytes.count - (offset - blockOffset)
    else {
      throw record.failure("expected an object within its block of a fractal heap")
    }
    let start = offset - blockOffset
    return HDF5Cursor(
      bytes: Array(block.bytes[start..<start + count]), start: block.start + start,
      format: block.format)
  }

  private static let maximumBlockSize = 1 << 40

  /// Rows double from the second on; sizes beyond any file are cut.
  private func blockSize(row: Int) -> Int {
    let shift = max(row - 1, 0)
    let isLarge = startSize.trailingZeroBitCount + shift > 40
    return isLarge ? Self.maximumBlockSize : startSize << shift
  }

  /// The direct block that holds an offset, and the offset at which it starts.
  private mutating func directBlock(holding offset: Int) throws -> (HDF5Cursor, Int) {
    guard let rootAddress else {
      throw LaminaError(
        .format, "expected blocks of a fractal heap, found none", path: reader.format.source.name)
    }
    guard rootRows > 0 else {
      return (try direct(rootAddress, size: startSize, at: 0), 0)
    }
    let directRows =
      maximumDirectSize.trailingZeroBitCount - startSize.trailingZeroBitCount + 2
    var (blockAddress, rows, start) = (rootAddress, rootRows, 0)
    // Each step goes into a smaller block.
    for _ in 0..<64 {
      var row = 0
      var rowStart = start
      while row < rows, offset - rowStart >= width * blockSize(row: row) {
        rowStart += width * blockSize(row: row)
        row += 1
      }
      guard row < rows else { break }
      let size = blockSize(row: row)
      let column = (offset - rowStart) / size
      let format = reader.format
      var block: HDF5Cursor
      if let known = blocks[blockAddress] {
        block = known
      } else {
        let count = 5 + format.offsetSize + offsetBytes + rows * width * format.offsetSize + 4
        block = try reader.cursor(at: blockAddress, count: count, of: "indirect block")
        var check = block
        try check.expect(signature: "FHIB")
        _ = try check.expect(version: 0...0, of: "an indirect block")
        try check.skip(count - 9, "children of an indirect block")
        try check.expectChecksum(of: "an indirect block")
        blocks[blockAddress] = block
      }
      try block.skip(
        5 + format.offsetSize + offsetBytes + (row * width + column) * format.offsetSize,
        "children of an indirect block")
      let child = try block.address("child of an indirect block")
      start = rowStart + column * size
      if row < directRows { return (try direct(child, size: size, at: start), start) }
      blockAddress = child
      rows = size.trailingZeroBitCount - (startSize * width).trailingZeroBitCount + 1
    }
    throw LaminaError(
      .format, "expected an offset within a fractal heap, found \(offset)",
      path: reader.format.source.name)
  }

  private mutating func direct(_ address: Int, size: Int, at offset: Int) throws -> HDF5Cursor {
    if let known = blocks[address] { return known }
    let block = try reader.cursor(at: address, count: size, of: "direct block")
    var head = block
    try head.expect(signature: "FHDB")
    _ = try head.expect(version: 0...0, of: "a direct block")
    try head.skip(reader.format.offsetSize, "address of the heap")
    let found = try head.integer(offsetBytes, "offset of a block")
    guard found == offset else {
      throw head.failure("expected a block at \(offset) of its heap, found \(found)")
    }
    if hasBlockChecksums {
      // The checksum was taken while its own bytes were zero.
      var bytes = block.bytes
      let place = head.offset
      let stored = UInt32(try head.number(4, "checksum of a direct block"))
      for index in place..<place + 4 { bytes[index] = 0 }
      guard HDF5Checksum.lookup3(bytes[...]) == stored else {
        throw head.failure("the checksum of a direct block differs")
      }
    }
    blocks[address] = block
    return block
  }
}

/// B-trees of version 2.
enum HDF5Tree2 {
  /// Calls `body` with the tree's type and each record.
  static func forEachRecord(
    _ reader: HDF5Reader, at address: Int, types: Set<Int>,
    _ body: (Int, inout HDF5Cursor) throws -> Void
  ) throws {
    let format = reader.format
    var head = try reader.cursor(
      at: address, count: 22 + format.offsetSize + format.lengthSize, of: "B-tree")
    try head.expect(signature: "BTHD")
    _ = try head.expect(version: 0...0, of: "a B-tree")
    let type = try head.byte("type of a B-tree")
    let nodeSize = try head.word("size of a B-tree node")
    let recordSize = try head.short("size of a record")
    let depth = try head.short("depth of a B-tree")
    try head.skip(2, "split and merge percentages")
    let root = try head.optionalAddress("root of a B-tree")
    let rootCount = try head.short("records in the root")
    try head.skip(format.lengthSize, "records in the tree")
    try head.expectChecksum(of: "a B-tree")
    guard types.contains(type), recordSize > 0, nodeSize > 10, depth <= 8 else {
      throw head.failure("expected a B-tree of names, found one of type \(type)")
    }
    guard let root, rootCount > 0 else { return }
    // Widths of the counts in a node follow from how many records fit.
    func width(_ value: Int) -> Int { (Int.bitWidth - value.leadingZeroBitCount + 7) / 8 }
    var most = (nodeSize - 10) / recordSize
    let countWidth = width(most)
    var total = most
    var totalWidths = [0]
    var pointers = [0]
    for level in 1...max(depth, 1) {
      let pointer = format.offsetSize + countWidth + (level > 1 ? totalWidths[level - 1] : 0)
      pointers.append(pointer)
      guard nodeSize > 10 + pointer else {
        throw head.failure("expected B-tree nodes of more than \(10 + pointer) bytes")
      }
      most = (nodeSize - 10 - pointer) / (recordSize + pointer)
      let (product, overflow) = (most + 1).multipliedReportingOverflow(by: total)
      guard !overflow, product < 1 << 56 else {
        throw head.failure("expected a B-tree of fewer records")
      }
      total = product + most
      totalWidths.append(width(total))
    }
    var stack = [(address: root, count: rootCount, level: depth)]
    var seen: Set<Int> = []
    while let (address, count, level) = stack.popLast() {
      let pointerCount = level > 0 ? count + 1 : 0
      let size = 6 + count * recordSize + pointerCount * pointers[min(level, pointers.count - 1)]
      var node = try reader.cursor(at: address, count: size + 4, of: "B-tree node")
      guard seen.insert(address).inserted else {
        throw node.failure("the B-tree has a node twice")
      }
      var check = node
      try check.skip(size, "B-tree node")
      try check.expectChecksum(of: "a B-tree node")
      try node.expect(signature: level > 0 ? "BTIN" : "BTLF")
      _ = try node.expect(version: 0...0, of: "a B-tree node")
      try node.skip(1, "type of a B-tree")
      for _ in 0..<count {
        let start = node.position
        var record = HDF5Cursor(
          bytes: Array(try node.slice(recordSize, "record")), start: start, format: format)
        try body(type, &record)
      }
      for _ in 0..<pointerCount {
        let child = try node.address("child of a B-tree")
        let childCount = try node.integer(countWidth, "records in a child")
        if level > 1 { try node.skip(totalWidths[level - 1], "records below a child") }
        guard childCount <= nodeSize / recordSize else {
          throw node.failure(
            "expected at most \(nodeSize / recordSize) records, found \(childCount)")
        }
        stack.append((child, childCount, level - 1))
      }
    }
  }
}
