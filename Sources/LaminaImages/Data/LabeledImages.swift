import LaminaCore

/// Pictures with a class each, read one by one in any order, from any thread.
public protocol LabeledImages: Sendable {
  /// Names of the classes; a label is a position among them.
  var classNames: [String] { get }
  /// Number of pictures.
  var count: Int { get }
  /// The class of a picture.
  func label(of index: Int) -> Int
  /// Where a picture comes from, for messages and reports: a path, or a file and a number.
  func name(of index: Int) -> String
  /// The bytes that a picture is made of, by which equal pictures are found.
  ///
  /// - Throws: `io`, `notFound`.
  func content(of index: Int) throws -> [UInt8]
  /// The picture.
  ///
  /// - Throws: `image` when it is broken, `unsupported`, `limit`, `io`, `notFound`.
  func image(at index: Int) throws -> Image
}

extension LabeledImages {
  /// Number of pictures of each class.
  public var classCounts: [Int] {
    var counts = [Int](repeating: 0, count: classNames.count)
    for index in 0..<count { counts[label(of: index)] += 1 }
    return counts
  }

  /// SHA-256 over the labels and the bytes of all pictures in their order. A picture's name counts where its bytes
  /// cannot be read, and else not.
  public func sha256(pool: ThreadPool) -> String {
    let hashes = try? parallelMap(count, pool) { index in
      let content = (try? content(of: index)) ?? Array(name(of: index).utf8)
      return "\(label(of: index)) \(SHA256.hexadecimal(content))\n"
    }
    return SHA256.hexadecimal(Array((hashes ?? []).joined().utf8))
  }
}

/// Some of the pictures of another set, in an order of their own.
public struct ImageSubset: LabeledImages {
  private let base: any LabeledImages
  /// Positions in the other set.
  public let indices: [Int]

  /// The pictures at `indices`, each of which lies within `base`.
  public init(_ base: any LabeledImages, _ indices: [Int]) {
    self.base = base
    self.indices = indices
  }

  /// Those of the whole.
  public var classNames: [String] { base.classNames }
  /// Number of pictures.
  public var count: Int { indices.count }
  /// The class of a picture.
  public func label(of index: Int) -> Int { base.label(of: indices[index]) }
  /// Where a picture comes from.
  public func name(of index: Int) -> String { base.name(of: indices[index]) }
  /// The bytes of a picture.
  public func content(of index: Int) throws -> [UInt8] { try base.content(of: indices[index]) }
  /// The picture.
  public func image(at index: Int) throws -> Image { try base.image(at: indices[index]) }
}
