import Lamina

/// y[n, c, …] = x[n, c, …] · max(0, min(1, w[c])): each channel's share is learned. x and y are [N, C, …].
struct ChannelGate: Layer {
  static let kind: LayerKind = "com.example.channel_gate"
  static let gradient = Gradient.supported(inputs: true, outputs: false)
  /// Share that channels begin with.
  let start: Float

  init(attributes: inout AttributeReader) throws {
    start = try attributes.float("start", default: 0.5)
    guard (0...1).contains(start) else {
      throw LaminaError(.graph, "expected start in 0...1, found \(start)")
    }
  }

  func encode(into attributes: inout AttributeWriter) { attributes.float("start", start) }

  func parameters(for inputs: [TensorSpec]) throws -> [ParameterSpec] {
    guard inputs[0].shape.rank >= 2, inputs[0].type == .float32 else {
      throw LaminaError(.shape, "expected float32 of two or more axes, found \(inputs[0])")
    }
    return [
      ParameterSpec("weight", try Shape([inputs[0].shape[1]]), initializer: .constant(start))
    ]
  }

  func forward(_ call: ForwardCall) throws {
    let (x, w, y) = (call.inputs[0].floats, call.parameters[0].floats, call.outputs[0].floats)
    forEachMap(of: call.inputs[0].shape) { channel, elements in
      let share = max(0, min(1, w[channel]))
      for i in elements { y[i] = share * x[i] }
    }
  }

  func backward(_ call: BackwardCall) throws {
    guard let input = call.inputs[0], let dy = call.outputGradients[0]?.floats else { return }
    let (x, w) = (input.floats, call.parameters[0].floats)
    forEachMap(of: input.shape) { channel, elements in
      let share = max(0, min(1, w[channel]))
      if let dx = call.inputGradients[0]?.floats {
        for i in elements { dx[i] += share * dy[i] }
      }
      if let dw = call.parameterGradients[0]?.floats, share == w[channel] {
        for i in elements { dw[channel] += dy[i] * x[i] }
      }
    }
  }

  /// Calls `body` with the channel and the elements of each map of each item.
  private func forEachMap(of shape: Shape, _ body: (_ channel: Int, _ elements: Range<Int>) -> Void)
  {
    let maps = shape[0] * shape[1]
    guard shape.count > 0 else { return }
    let area = shape.count / maps
    for map in 0..<maps { body(map % shape[1], map * area..<(map + 1) * area) }
  }
}
