/// How the names and shapes of a weight file become those of a model.
///
/// Names: the ignored ones are dropped, a common prefix `module.` or `model.` is taken off where
/// the model has none; where `modules` are given, the n-th convolution of the file becomes the n-th
/// of them that is one, and so on for each kind of module, which is what stands before the last dot
/// of a name; then the rules apply in order, each to the result of the one before.
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

    package func apply(_ key: String) -> String {
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
    /// The model's shape, where the two differ only in axes of extent 1: `[out, in]` and
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

  /// Whose files the map is for: `torchvision`, `Keras`.
  public var origin: String
  /// The model's modules in the order of the file, for files that do not name theirs; empty: names
  /// count.
  public var modules: [String]
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
    origin: String = "", modules: [String] = [], rules: [Rule] = [],
    ignored: [KeyPattern] = ["*num_batches_tracked"], changes: [Change] = [],
    detectsPrefix: Bool = true
  ) {
    self.origin = origin
    self.modules = modules
    self.rules = rules
    self.ignored = ignored
    self.changes = changes
    self.detectsPrefix = detectsPrefix
  }

  /// The map that renames by patterns in order, for files of `origin`.
  public init(
    origin: String, _ renames: KeyValuePairs<String, String> = [:], modules: [String] = [],
    ignored: [KeyPattern] = [], changes: [Change] = []
  ) {
    self.init(
      origin: origin, modules: modules,
      rules: renames.map { .pattern(KeyPattern($0.key), KeyPattern($0.value)) },
      ignored: ["*num_batches_tracked"] + ignored, changes: changes)
  }

  /// Prefixes that wrappers put in front of every name.
  package static let wrapperPrefixes = ["module.", "model."]

  /// The prefix that all `keys` share and that stands before no name of the model: `module.`,
  /// `model.`, or both in a row.
  package func commonPrefix(of keys: [String], modelKeys: Set<String>) -> String {
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

  package func transform(of key: String) -> Transform? {
    changes.first { $0.pattern.matches(key) }?.transform
  }
}
