import LaminaCore

extension Model {
  /// The model with some weights initialised anew; each tensor's numbers depend on `seed` and its key alone.
  ///
  /// - Parameters:
  ///   - patterns: over the keys of weights of `float32`; statistics and other types stay.
  ///   - initializer: nil: the one that each layer asks for.
  /// - Throws: `argument` when a pattern matches none.
  public func reinitialized(
    _ patterns: [KeyPattern], with initializer: Initializer? = nil, seed: UInt64
  ) throws -> Model {
    var parameters = parameters
    var isUsed = [Bool](repeating: false, count: patterns.count)
    for slot in try graph.parameterSlots(parameters: parameters) {
      guard case .tensor(let key) = slot.binding, slot.spec.role == .weight,
        slot.spec.spec.type == .float32
      else { continue }
      var isWanted = false
      for (index, pattern) in patterns.enumerated() where pattern.matches(key) {
        isUsed[index] = true
        isWanted = true
      }
      guard isWanted else { continue }
      var spec = slot.spec
      if let initializer { spec.initializer = initializer }
      parameters[key] = try spec.makeTensor(seed: seed, key: key)
    }
    if let unused = zip(patterns, isUsed).first(where: { !$0.1 })?.0 {
      throw LaminaError(.argument, "no weight matches '\(unused.text.escapedForDisplay())'")
    }
    return try replacingParameters(parameters)
  }
}
