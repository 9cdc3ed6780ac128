import LaminaCore

/// A layer that moves elements by tables that depend on shapes alone: `forward` makes the tables and runs
/// them, a plan makes them once.
protocol MovementLayer: Layer {
  /// The tables.
  func movement(for inputs: [TensorSpec]) throws -> any PreparedLayer
}

extension MovementLayer {
  /// Makes the tables and runs them.
  package func forward(_ call: ForwardCall) throws {
    try movement(for: call.plannedSpecs()).run(call)
  }

  /// The tables.
  package func prepare(_ context: PrepareContext) throws -> (any PreparedLayer)? {
    try movement(for: context.inputs)
  }
}
