import LaminaCore
import LaminaKernels

/// y = f(f(a, b), c) … over tensors that broadcast to one shape, for `float32` and integers. Integers wrap.
protocol BinaryLayer: Layer {
  /// The kernel for `float32`.
  static var operation: lk_binary { get }
  /// The function of two integers; total.
  static func combine<T: FixedWidthInteger>(_ a: T, _ b: T) -> T
  /// Whether f(0, 0) = 0, so that the zeros around blocked maps stay zeros.
  static var keepsZeros: Bool { get }
}

extension BinaryLayer {
  package static var arity: ClosedRange<Int> { 2...2 }
  package static var outputMemory: OutputMemory { .mayOverwriteInput }
  static var keepsZeros: Bool { true }
  package static var gradient: Gradient { .supported(inputs: true, outputs: true) }

  package func encode(into attributes: inout AttributeWriter) {}

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    _ = try inputs.commonType()
    let shape = try inputs.dropFirst().reduce(inputs[0].shape) { try $0.broadcast(with: $1.shape) }
    return [TensorSpec(shape, try inputs[0].expectingNumbers().type)]
  }

  package func forward(_ call: ForwardCall) throws { try combine(call) }

  /// The inputs one after the other.
  func combine(_ call: ForwardCall) throws {
    let y = call.outputs[0]
    for (i, b) in call.inputs.enumerated() where i > 0 || call.inputs.count == 1 {
      let a = i < 2 ? call.inputs[0] : TensorView(y.shape, y.type, y.baseAddress)
      let shape = Broadcast(a.shape, b.shape, to: y.shape)
      if i == 0 {
        copy(a, to: y)
      } else if let integer = y.type.integerType {
        func run<T: IntegerElement>(_: T.Type) {
          shape.map(a, b, y) { Self.combine($0 as T, $1 as T) }
        }
        run(integer)
      } else {
        shape.run(Self.operation, a.floats, b.floats, y.floats, call.pool)
      }
    }
  }

  package func backwardScratchBytes(for inputs: [TensorSpec], threads: Int) -> Int {
    guard let output = try? outputs(for: inputs).first, output.type == .float32 else { return 0 }
    if inputs.count <= 2, inputs.allSatisfy({ $0.shape == output.shape }) { return 0 }
    return 2 * output.byteCount
  }

  package func backward(_ call: BackwardCall) throws {
    guard let dy = call.outputGradients[0] else { return }
    if call.inputs.count == 2, let a = call.inputs[0], let b = call.inputs[1] {
      return Broadcast(a.shape, b.shape, to: dy.shape).addGradients(
        Self.operation, a, b, dy, call.inputGradients,
        sums: [BroadcastSum(a.shape, in: dy.shape), BroadcastSum(b.shape, in: dy.shape)],
        scratch: call.floats, call.pool)
    }
    guard call.inputs.count > 1 else { return addToAll(call) { _ in 1 } }
    guard let scratch = call.floats, let y = call.outputs[0] else { return }
    let inputs = call.inputs.compactMap { $0 }
    let gradients = dy.elements(as: Float.self)
    for (operand, gradient) in call.inputGradients.enumerated() {
      guard let gradient else { continue }
      var walks = inputs.map {
        StrideWalk(dy.shape.dimensions, $0.shape.strides(broadcastTo: dy.shape))
      }
      for index in gradients.indices {
        let values = zip(inputs, walks).map { $0.floats[$1.offset] }
        scratch[index] =
          gradients[index] * Self.derivative(by: operand, of: values, result: y.floats[index])
        for walk in walks.indices { walks[walk].advance() }
      }
      BroadcastSum(gradient.shape, in: dy.shape).add(
        scratch, into: gradient.floats, scratch: scratch + dy.shape.count, call.pool)
    }
  }

  /// Adds factor·dy to the gradient of every input.
  func addToAll(_ call: BackwardCall, factor: (_ input: Int) -> Float) {
    guard let dy = call.outputGradients[0] else { return }
    for (input, gradient) in call.inputGradients.enumerated() {
      guard let gradient else { continue }
      BroadcastSum(gradient.shape, in: dy.shape).add(
        dy.floats, factor: factor(input), into: gradient.floats, scratch: call.floats, call.pool)
    }
  }

  /// ∂y of three or more numbers: products without the operand; of equal extrema each an equal part.
  private static func derivative(by operand: Int, of values: [Float], result: Float) -> Float {
    if operation == LK_MUL {
      return values.enumerated().reduce(1) { $1.offset == operand ? $0 : $0 * $1.element }
    }
    return values[operand] == result ? 1 / Float(values.count { $0 == result }) : 0
  }

  package func inputHalos(for inputs: [TensorSpec], outputs: [TensorSpec], outputHalos: [Int])
    -> [Int]
  { inputs.map { _ in outputHalos[0] } }

  package func isBatchwise(for inputs: [TensorSpec]) -> Bool {
    let shapes = inputs.map(\.shape)
    guard let batched = shapes.max(by: { $0.rank < $1.rank }), batched.rank > 0 else {
      return false
    }
    let batch = shapes.reduce(1) { $1.rank == batched.rank ? max($0, $1[0]) : $0 }
    return inputs.allSatisfy { input in
      input.shape.rank == batched.rank && input.shape[0] == batch
        || input.value != nil && (input.shape.rank < batched.rank || input.shape[0] == 1)
    }
  }

  package func prepare(_ context: PrepareContext) throws -> (any PreparedLayer)? {
    if let scaling = PreparedScaling(Self.operation, context) { return scaling }
    return PreparedBinary(Self.operation, keepsZeros: Self.keepsZeros, context)
  }
}

func copy(_ x: TensorView, to y: MutableTensorView) {
  if x.baseAddress != UnsafeRawPointer(y.baseAddress) {
    y.baseAddress.copyMemory(from: x.baseAddress, byteCount: x.byteCount)
  }
}

/// A product of a map in blocks of channels and one number for each of its channels.
struct PreparedScaling: PreparedLayer {
  let layout: TensorLayout
  let shape: Shape

  var inputLayouts: [TensorLayout]? { [layout, .plain] }
  var outputLayouts: [TensorLayout]? { [layout] }
  var scratchBytes: Int { 0 }

  /// nil for anything else.
  init?(_ operation: lk_binary, _ context: PrepareContext) {
    guard operation == LK_MUL, context.inputs.count == 2, context.outputs[0].type == .float32,
      case let shape = context.outputs[0].shape, shape == context.inputs[0].shape,
      case .blocked(let channels, _) = context.inputLayouts[0],
      channels == lk_block_channels(lk_active_isa()),
      context.inputs[1].shape.dimensions == [shape[0], shape[1], 1, 1]
    else { return nil }
    self.shape = shape
    layout = context.inputLayouts[0]
  }

  func run(_ call: ForwardCall) throws {
    var map = layout.map(shape)
    lk_f32_scale_map(
      call.pool.handle, shape[0], shape[1], &map, call.inputs[0].floats, call.inputs[1].floats, nil,
      lk_activation(), call.outputs[0].floats)
  }
}

/// A kernel on two `float32` tensors, plain or both in one blocked layout.
struct PreparedBinary: PreparedLayer {
  let operation: lk_binary
  let layouts: [TensorLayout]
  let shape: Broadcast

  var inputLayouts: [TensorLayout]? { layouts }
  var outputLayouts: [TensorLayout]? { [layouts[0]] }
  var scratchBytes: Int { 0 }

  /// nil when the inputs are not two `float32` tensors.
  init?(_ operation: lk_binary, keepsZeros: Bool, _ context: PrepareContext) {
    let (inputs, output) = (context.inputs, context.outputs[0])
    guard inputs.count == 2, output.type == .float32 else { return nil }
    self.operation = operation
    if keepsZeros, inputs[0].shape == inputs[1].shape, inputs.allSatisfy({ $0.value == nil }),
      let layout = context.inputLayouts.first(where: { $0 != .plain }),
      let all = try? Shape([layout.byteCount(inputs[0]) / 4])
    {
      layouts = [layout, layout]
      shape = Broadcast(all, all, to: all)
      return
    }
    layouts = [.plain, .plain]
    shape = Broadcast(inputs[0].shape, inputs[1].shape, to: output.shape)
  }

  func run(_ call: ForwardCall) throws {
    shape.run(
      operation, call.inputs[0].floats, call.inputs[1].floats, call.outputs[0].floats, call.pool)
  }
}
