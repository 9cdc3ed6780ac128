import LaminaCore

/// How the names and shapes of a weight file become those of a model.
///
/// Names: the ignored ones are dropped, a common prefix `module.` or `model.` is taken off where
/// the model has none, then the rules apply in order, each to the result of the one before.
/// Tensors: the first transform whose pattern matches the name in the file is applied.
public struct KeyMap: Sendable, Hashable {
  /// One step of renaming.
  public enum Rule: Sendable, Hashable {
    /// This name becomes that one.
    case exact(String, String)
    /// This beginning becomes that one.
    case prefix(String, String)
    /// Names of this pattern become the other, wildcards filled in.
    case pattern(KeyPattern, KeyPattern)

    func apply(_ key: String) -> String {
      switch self {
      case .exact(let from, let to): key == from ? to : key
      case .prefix(let from, let to): key.hasPrefix(from) ? to + key.dropFirst(from.count) : key
      case .pattern(let from, let to): from.rewriting(key, to: to) ?? key
      }
    }
  }

  /// A change of a tensor on its way into the model.
  public enum Transform: Sendable, Hashable {
    /// `y[i₀, i₁, …] = x[…]` where axis `k` of the result is axis `permutation[k]` of the source.
    case transpose([Int])
    /// The same elements under another shape; one extent may be −1.
    case reshape([Int])
    /// Columns of a dense weight `[out, height·width·channels]` from the order height, width,
    /// channels to channels, height, width.
    case permuteAfterFlatten(channels: Int, height: Int, width: Int)
    /// The model's shape, where the two differ only in trailing axes of extent 1: `[out, in]` and
    /// `[out, in, 1, 1]`.
    case matchUnitAxes
  }

  /// A transform and the names in the file it applies to.
  public struct Change: Sendable, Hashable {
    /// Names in the file.
    public var pattern: KeyPattern
    /// The change.
    public var transform: Transform

    /// A change.
    public init(_ pattern: KeyPattern, _ transform: Transform) {
      self.pattern = pattern
      self.transform = transform
    }
  }

  /// Renaming, in order.
  public var rules: [Rule]
  /// Names in the file that are left out and counted.
  public var ignored: [KeyPattern]
  /// Transforms.
  public var changes: [Change]
  /// Whether a common prefix is taken off.
  public var detectsPrefix: Bool

  /// A map; by default names stay as they are, up to a common prefix, and counters of batches are
  /// ignored.
  public init(
    rules: [Rule] = [], ignored: [KeyPattern] = ["*num_batches_tracked"], changes: [Change] = [],
    detectsPrefix: Bool = true
  ) {
    self.rules = rules
    self.ignored = ignored
    self.changes = changes
    self.detectsPrefix = detectsPrefix
  }

  /// Prefixes that wrappers put in front of every name.
  static let wrapperPrefixes = ["module.", "model."]

  /// The prefix that all `keys` share and that stands before no name of the model: `module.`,
  /// `model.`, or both in a row.
  func commonPrefix(of keys: [String], modelKeys: Set<String>) -> String {
    guard detectsPrefix, !keys.isEmpty else { return "" }
    var prefix = ""
    while let next = KeyMap.wrapperPrefixes.first(where: { wrapper in
      keys.allSatisfy { $0.hasPrefix(prefix + wrapper) }
    }) {
      guard !modelKeys.contains(where: { $0.hasPrefix(prefix + next) }) else { break }
      prefix += next
    }
    return prefix
  }

  /// The model's name for a name of the file without its common prefix.
  public func target(of key: String) -> String { rules.reduce(key) { $1.apply($0) } }

  func transform(of key: String) -> Transform? {
    changes.first { $0.pattern.matches(key) }?.transform
  }
}

extension KeyMap.Transform {
  /// The shape after the change.
  ///
  /// - Throws: `weights` when the tensor does not have the axes or elements that the change needs.
  func shape(of shape: Shape, for expected: Shape) throws -> Shape {
    switch self {
    case .transpose(let permutation):
      guard permutation.sorted() == Array(0..<shape.rank) else {
        throw LaminaError(
          .weights, "expected a permutation of \(shape.rank) axes, found \(permutation)")
      }
      return try Shape(permutation.map { shape[$0] })
    case .reshape(let dimensions):
      guard let free = dimensions.firstIndex(of: -1) else {
        return try checked(try Shape(dimensions), shape)
      }
      var result = dimensions
      result[free] = 1
      let others = try Shape(result).count
      guard others > 0, shape.count % others == 0 else {
        throw LaminaError(
          .weights, "expected a shape of \(shape.count) elements, found \(dimensions)")
      }
      result[free] = shape.count / others
      return try Shape(result)
    case .permuteAfterFlatten(let channels, let height, let width):
      let (plane, overflow) = height.multipliedReportingOverflow(by: width)
      let (columns, overflow2) = plane.multipliedReportingOverflow(by: channels)
      guard !overflow, !overflow2, shape.rank == 2, shape[1] == columns else {
        throw LaminaError(
          .weights, "expected [out, \(channels)·\(height)·\(width)] to permute, found \(shape)")
      }
      return shape
    case .matchUnitAxes:
      func trimmed(_ shape: Shape) -> [Int] {
        var dimensions = shape.dimensions
        while dimensions.last == 1 { dimensions.removeLast() }
        return dimensions
      }
      return trimmed(shape) == trimmed(expected) ? expected : shape
    }
  }

  private func checked(_ result: Shape, _ shape: Shape) throws -> Shape {
    guard result.count == shape.count else {
      throw LaminaError(.weights, "expected a shape of \(shape.count) elements, found \(result)")
    }
    return result
  }

  /// The changed tensor, of the shape that `shape(of:for:)` gave.
  func apply(to tensor: Tensor, shape: Shape) throws -> Tensor {
    switch self {
    case .transpose(let permutation): return try tensor.permuted(permutation)
    case .reshape, .matchUnitAxes: return try tensor.reshaped(shape)
    case .permuteAfterFlatten(let channels, let height, let width):
      return try tensor.reshaped(Shape([shape[0], height, width, channels]))
        .permuted([0, 3, 1, 2]).reshaped(shape)
    }
  }
}

extension Tensor {
  /// A copy whose axis `k` is axis `permutation[k]` of this tensor; `permutation` must be one.
  func permuted(_ permutation: [Int]) throws -> Tensor {
    let result = try Tensor(uninitialized: Shape(permutation.map { shape[$0] }), type)
    let strides = shape.strides
    let view = PickleTensor(
      storage: 0, offset: 0, shape: result.shape, strides: permutation.map { strides[$0] })
    withBytes { source in
      result.withMutableBytes { view.gather(from: source, elementBytes: type.byteCount, into: $0) }
    }
    return result
  }
}

extension KeyMap {
  /// A map that applies patterns in order, as a catalog entry states them.
  public init(renames: [(pattern: String, replacement: String)]) {
    self.init(rules: renames.map { .pattern(KeyPattern($0.pattern), KeyPattern($0.replacement)) })
  }
}
