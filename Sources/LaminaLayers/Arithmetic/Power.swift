import LaminaCore
import LaminaKernels

/// y = a^b in the type of a; a is `float32` or an integer, b too. Integers wrap; a negative power of an integer
/// is cut to an integer, and 0 to a negative power is 0.
package struct Power: Layer {
  package static let kind: LayerKind = "lamina.pow"
  package static var arity: ClosedRange<Int> { 2...2 }
  package static var gradient: Gradient { .supported(inputs: true, outputs: false) }

  package init(attributes: inout AttributeReader) throws {}

  package func encode(into attributes: inout AttributeWriter) {}

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    _ = try inputs[1].expectingNumbers()
    let shape = try inputs[0].shape.broadcast(with: inputs[1].shape)
    return [TensorSpec(shape, try inputs[0].expectingNumbers().type)]
  }

  package func scratchBytes(for inputs: [TensorSpec], threads: Int) -> Int {
    inputs[0].type == .float32 && inputs[1].type != .float32 ? inputs[1].shape.count * 4 : 0
  }

  package func forward(_ call: ForwardCall) throws {
    let (a, b, y) = (call.inputs[0], call.inputs[1], call.outputs[0])
    let shape = Broadcast(a.shape, b.shape, to: y.shape)
    switch (a.type.integerType, b.type.integerType) {
    case (nil, nil):
      run(shape, a, b.floats, y, call.pool)
    case (nil, let exponent?):
      guard let scratch = call.scratch.baseAddress else { return }
      let floats = MutableTensorView(b.shape, .float32, scratch)
      func convert<E: IntegerElement>(_: E.Type) { map(b, floats) { (e: E) in Float(e) } }
      convert(exponent)
      run(shape, a, floats.floats, y, call.pool)
    case (let base?, nil):
      func run<T: IntegerElement>(_: T.Type) {
        shape.map(a, b, y) { (a: T, b: Float) in T(saturating: power(Double(a), Double(b))) }
      }
      run(base)
    case (let base?, let exponent?):
      func run<T: IntegerElement, E: IntegerElement>(_: T.Type, _: E.Type) {
        shape.map(a, b, y) { (a: T, b: E) in Self.integerPower(a, b) }
      }
      run(base, exponent)
    }
  }

  private func run(
    _ shape: Broadcast, _ a: TensorView, _ b: UnsafePointer<Float>, _ y: MutableTensorView,
    _ pool: ThreadPool
  ) {
    if shape.repeatsOneNumber, b.pointee == 2, a.shape == y.shape {
      lk_f32_unary(pool.handle, LK_SQUARE, 0, 0, a.floats, y.floats, y.shape.count)
    } else {
      shape.run(LK_POW, a.floats, b, y.floats, pool)
    }
  }

  package func backwardScratchBytes(for inputs: [TensorSpec], threads: Int) -> Int {
    guard let output = try? outputs(for: inputs).first, output.type == .float32 else { return 0 }
    return 2 * output.byteCount + 4 * inputs[1].shape.count
  }

  package func backward(_ call: BackwardCall) throws {
    guard let dy = call.outputGradients[0], let a = call.inputs[0], var b = call.inputs[1] else {
      return
    }
    if let integer = b.type.integerType, let scratch = call.floats {
      let floats = MutableTensorView(b.shape, .float32, scratch + 2 * dy.shape.count)
      func convert<E: IntegerElement>(_: E.Type) { map(b, floats) { (e: E) in Float(e) } }
      convert(integer)
      b = TensorView(floats.shape, .float32, floats.baseAddress)
    }
    Broadcast(a.shape, b.shape, to: dy.shape).addGradients(
      LK_POW, a, b, dy, call.inputGradients,
      sums: [BroadcastSum(a.shape, in: dy.shape), BroadcastSum(b.shape, in: dy.shape)],
      scratch: call.floats, call.pool)
  }

  static func integerPower<T: FixedWidthInteger, E: FixedWidthInteger>(_ base: T, _ exponent: E)
    -> T
  {
    if exponent < 0 {
      let isOdd = exponent & 1 == 1
      return base == 1 ? 1 : base &+ 1 == 0 && T.isSigned ? (isOdd ? base : 1) : 0
    }
    var (result, square, rest) = (T(1), base, exponent)
    while rest > 0 {
      if rest & 1 == 1 { result = result &* square }
      square = square &* square
      rest >>= 1
    }
    return result
  }
}
