import LaminaCore

/// Members of a group of the old style: a B-tree of version 1 over nodes of symbols, names in a
/// local heap.
enum HDF5SymbolTable {
  static func members(_ reader: HDF5Reader, _ message: HDF5Cursor) throws
    -> [(name: String, address: Int)]
  {
    var message = message
    let root = try message.address("B-tree of a group")
    let heapAddress = try message.address("local heap of a group")
    let heap = try localHeap(reader, heapAddress)
    var result: [(name: String, address: Int)] = []
    try HDF5Tree.forEachLeaf(reader, root: root, type: 0, keyCount: reader.format.lengthSize) {
      _, address in
      var head = try reader.cursor(at: address, count: 8, of: "symbol table node")
      try head.expect(signature: "SNOD")
      _ = try head.expect(version: 1...1, of: "a symbol table node")
      try head.skip(1, "reserved byte")
      let count = try head.short("number of symbols")
      let entryCount = 2 * reader.format.offsetSize + 24
      var node = try reader.cursor(at: address + 8, count: count * entryCount, of: "symbols")
      for _ in 0..<count {
        let offset = try node.integer(reader.format.offsetSize, "offset of a name")
        guard offset < heap.bytes.count else {
          throw node.failure(
            "expected the offset of a name below \(heap.bytes.count), found \(offset)")
        }
        let bytes = heap.bytes[offset...]
        guard bytes.contains(0) else { throw node.failure("the name of a member has no end") }
        let name = try hdf5Text(bytes, heap)
        let target = try node.optionalAddress("address of a member")
        let cacheType = try node.word("cache type")
        try node.skip(20, "scratch pad")
        guard cacheType != 2, let target else { throw unsupportedLink(name, "soft", node) }
        result.append((name, target))
      }
    }
    return result
  }

  private static func localHeap(_ reader: HDF5Reader, _ address: Int) throws -> HDF5Cursor {
    let format = reader.format
    var head = try reader.cursor(
      at: address, count: 8 + 2 * format.lengthSize + format.offsetSize, of: "local heap")
    try head.expect(signature: "HEAP")
    _ = try head.expect(version: 0...0, of: "a local heap")
    try head.skip(3, "reserved bytes")
    let size = try head.length("size of a local heap")
    try head.skip(format.lengthSize, "free list")
    return try reader.cursor(
      at: try head.address("data of a local heap"), count: size, of: "local heap")
  }
}

/// B-trees of version 1.
enum HDF5Tree {
  /// Calls `body` with the key before and the address of each child of the lowest level, in order.
  static func forEachLeaf(
    _ reader: HDF5Reader, root: Int, type: Int, keyCount: Int,
    _ body: (inout HDF5Cursor, Int) throws -> Void
  ) throws {
    let format = reader.format
    var stack: [(address: Int, level: Int?)] = [(root, nil)]
    var seen: Set<Int> = []
    while let (address, expected) = stack.popLast() {
      let headCount = 8 + 2 * format.offsetSize
      var head = try reader.cursor(at: address, count: headCount, of: "B-tree")
      guard seen.insert(address).inserted else {
        throw head.failure("the B-tree has a node twice")
      }
      try head.expect(signature: "TREE")
      let found = try head.byte("type of a B-tree")
      guard found == type else {
        throw head.failure("expected a B-tree of type \(type), found \(found)")
      }
      let level = try head.byte("level of a B-tree node")
      guard level == expected ?? level else {
        throw head.failure("expected level \(expected ?? level) of a B-tree, found \(level)")
      }
      let count = try head.short("number of children")
      // A key stands before and behind each child.
      var node = try reader.cursor(
        at: address + headCount, count: count * (keyCount + format.offsetSize) + keyCount,
        of: "B-tree node")
      var children: [(address: Int, level: Int?)] = []
      for _ in 0..<count {
        let start = node.position
        var key = HDF5Cursor(
          bytes: Array(try node.slice(keyCount, "key")), start: start, format: format)
        let child = try node.address("child of a B-tree")
        if level == 0 {
          try body(&key, child)
        } else {
          children.append((child, level - 1))
        }
      }
      stack += children.reversed()
    }
  }
}
