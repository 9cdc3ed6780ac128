import Lamina
import LaminaTestSupport

extension GraphBuilder {
  /// A convolution that keeps the map's extents, or divides them by `stride`.
  mutating func convolution(
    _ name: String, _ x: ValueID, _ channels: Int, _ kernel: Int, stride: Int = 1,
    bias: Bool = true
  ) throws -> ValueID {
    try add(
      "lamina.conv2d", name, x,
      attributes: [
        "out_channels": .int(channels), "kernel_size": .int(kernel), "padding": .int(kernel / 2),
        "strides": .int(stride), "bias": .bool(bias),
      ])
  }

  /// Channels one behind the other.
  mutating func concat(_ name: String, _ inputs: ValueID...) throws -> ValueID {
    try addNode("lamina.concat", name, inputs, attributes: ["axis": 1])[0]
  }

  /// The model with random weights, and with statistics and scales that are not those of a fresh batch norm.
  func randomModel() throws -> Model {
    let fresh = try Model(initializing: graph, seed: 3, registry: .standard)
    var parameters = fresh.parameters
    for (key, tensor) in fresh.parameters where tensor.shape.rank == 1 {
      let random = CounterRandom(seed: 9, name: key)
      let positive = key.hasSuffix("running_var") || key.hasSuffix("weight")
      parameters[key] = try Tensor(
        tensor.shape,
        (0..<tensor.shape.count).map { i in
          positive ? 0.5 + random.uniform(UInt64(i)) : random.normal(UInt64(i))
        })
    }
    return try fresh.replacingParameters(parameters)
  }
}

/// Normally distributed numbers.
func randomTensor(_ shape: Shape, seed: UInt64 = 4) throws -> Tensor {
  let random = CounterRandom(seed: seed, name: "x")
  return try Tensor(shape, (0..<shape.count).map { random.normal(UInt64($0)) })
}
