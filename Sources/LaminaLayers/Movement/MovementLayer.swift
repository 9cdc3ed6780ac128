import LaminaCore

/// A layer that moves elements by tables that depend on shapes alone: `forward` makes the tables and runs
/// them, a plan makes them once.
protocol MovementLayer: Layer {
  /// The tables.
  func movement(for inputs: [TensorSpec]) throws -> any Movement
}

/// Tables that also bring gradients back: a linear map and its transpose.
protocol Movement: PreparedLayer {
  /// Adds to, or sets, the gradients of the inputs. Scratch memory is that of `run`.
  func addGradients(_ call: BackwardCall)
}

extension MovementLayer {
  /// Reads values of inputs that are parts of the tables.
  package static var gradient: Gradient { .supported(inputs: true, outputs: false) }

  /// Makes the tables and runs them.
  package func forward(_ call: ForwardCall) throws {
    try movement(for: call.plannedSpecs()).run(call)
  }

  /// The tables.
  package func prepare(_ context: PrepareContext) throws -> (any PreparedLayer)? {
    try movement(for: context.inputs)
  }

  /// Makes the tables and runs them the other way.
  package func backward(_ call: BackwardCall) throws {
    try movement(for: plannedSpecs(of: call.inputs.compactMap { $0 })).addGradients(call)
  }

  package func backwardScratchBytes(for inputs: [TensorSpec], threads: Int) -> Int {
    scratchBytes(for: inputs, threads: threads)
  }

  /// The tables.
  package func prepareTraining(_ context: TrainingContext) throws -> (any PreparedTraining)? {
    PreparedMovement(movement: try movement(for: context.inputs))
  }
}

/// Tables made once for training, which then reads no values.
struct PreparedMovement: PreparedTraining {
  let movement: any Movement

  var inputLayouts: [TensorLayout]? { movement.inputLayouts }
  var outputLayouts: [TensorLayout]? { movement.outputLayouts }
  var gradient: Gradient { .supported(inputs: false, outputs: false) }
  var scratchBytes: Int { movement.scratchBytes }
  var summary: String { movement.summary }

  func forward(_ call: ForwardCall) throws { try movement.run(call) }
  func backward(_ call: BackwardCall) throws { movement.addGradients(call) }
}
