import LaminaCore
import LaminaKernels

/// y = op over `axes` of x, for `float32` and integers (which wrap; quotients, roots and logarithms are cut).
///
/// mean Σx/n, sum Σx, max, min, prod Πx, l1 Σ|x|, l2 √Σx², log_sum ln Σx, log_sum_exp ln Σeˣ, sum_square Σx².
/// `axes` is an attribute or a second input known when planning; without axes all are reduced, or with
/// `noop_with_empty_axes` none. Over no elements a sum is 0, a product 1, max −∞ and min +∞ (the type's bounds).
package struct Reduce: Layer {
  package static let kind: LayerKind = "lamina.reduce"
  package static var gradient: Gradient { .supported(inputs: true, outputs: true) }
  package static var arity: ClosedRange<Int> { 1...2 }
  enum Operation: String, CaseIterable {
    case mean, sum, max, min, prod, l1, l2
    case logSum = "log_sum"
    case logSumExp = "log_sum_exp"
    case sumSquare = "sum_square"
  }
  let operation: Operation
  let axes: [Int]
  let keepDims: Bool
  let noopWithEmptyAxes: Bool

  package init(attributes: inout AttributeReader) throws {
    operation = try attributes.choice("operation")
    axes = try attributes.ints("axes", default: [])
    keepDims = try attributes.bool("keep_dims", default: true)
    noopWithEmptyAxes = try attributes.bool("noop_with_empty_axes", default: false)
  }

  package func encode(into attributes: inout AttributeWriter) {
    attributes.choice("operation", operation)
    if !axes.isEmpty { attributes.ints("axes", axes) }
    attributes.bool("keep_dims", keepDims)
    attributes.bool("noop_with_empty_axes", noopWithEmptyAxes)
  }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    let spec = try inputs[0].expectingNumbers()
    let reduced = try reducedAxes(of: spec.shape, axes: inputs.dropFirst().first)
    let dimensions = spec.shape.dimensions.enumerated().compactMap { axis, extent in
      reduced[axis] ? (keepDims ? 1 : nil) : extent
    }
    return [TensorSpec(try Shape(dimensions), spec.type)]
  }

  /// Whether each axis of `shape` is reduced.
  private func reducedAxes(of shape: Shape, axes input: TensorSpec?) throws -> [Bool] {
    var axes = axes
    if let input {
      guard input.type == .int64, input.shape.rank == 1 else {
        throw LaminaError(.shape, "expected 'axes' to be an int64 vector, found \(input)")
      }
      guard let value = input.value else {
        throw LaminaError(
          .shape,
          "expected a value known when planning for 'axes', found one computed at run time")
      }
      axes = value.elements(as: Int64.self).map(Int.init)
    }
    if axes.isEmpty { return shape.dimensions.map { _ in !noopWithEmptyAxes } }
    var reduced = shape.dimensions.map { _ in false }
    for axis in axes {
      let resolved = try shape.axis(axis)
      guard !reduced[resolved] else {
        throw LaminaError(.shape, "expected distinct axes, found \(axis) twice in \(axes)")
      }
      reduced[resolved] = true
    }
    return reduced
  }

  private func reducedAxes(of shape: Shape, given axes: TensorView?) throws -> [Bool] {
    let input = axes.map { TensorSpec($0.shape, $0.type, value: try? Tensor(copying: $0)) }
    return try reducedAxes(of: shape, axes: input)
  }

  package func forward(_ call: ForwardCall) throws {
    let (x, y) = (call.inputs[0], call.outputs[0])
    let space = ReductionSpace(
      x.shape, try reducedAxes(of: x.shape, given: call.inputs.dropFirst().first))
    if let integer = x.type.integerType {
      func run<T: IntegerElement>(_: T.Type) {
        space.reduce(x, y) { (values: StridedValues<T>) in reduceIntegers(values) }
      }
      run(integer)
    } else if let (kernel, scale) = kernel(space), let (outer, length, inner) = space.middle {
      lk_f32_reduce(call.pool.handle, kernel, scale, x.floats, y.floats, outer, length, inner)
      if operation == .l2 || operation == .logSum {
        let root = operation == .l2 ? LK_SQRT : LK_LOG
        lk_f32_unary(call.pool.handle, root, 0, 0, y.floats, y.floats, y.shape.count)
      }
    } else {
      space.reduce(x, y) { (values: StridedValues<Float>) in
        Float(reduceReals(values.lazy.map(Double.init)))
      }
    }
  }

  package func backwardScratchBytes(for inputs: [TensorSpec], threads: Int) -> Int {
    (try? outputs(for: inputs))?.first?.byteCount ?? 0
  }

  package func backward(_ call: BackwardCall) throws {
    guard let x = call.inputs[0], let y = call.outputs[0], let dy = call.outputGradients[0],
      let dx = call.inputGradients[0], let scratch = call.floats, x.shape.count > 0
    else { return }
    let given = call.inputs.count > 1 ? call.inputs[1] : nil
    let reduced = try reducedAxes(of: x.shape, given: given)
    let space = ReductionSpace(x.shape, reduced)
    guard operation == .sum || operation == .mean else {
      return space.addGradients(x.floats, y, dy, dx.floats) { derivative(of: $0, result: $1) }
    }
    let kept = try Shape(zip(x.shape.dimensions, reduced).map { $1 ? 1 : $0 })
    let factor = operation == .mean ? 1 / Float(space.length) : 1
    lk_f32_unary(call.pool.handle, LK_SCALE, factor, 0, dy.floats, scratch, dy.shape.count)
    Broadcast(x.shape, kept, to: x.shape)
      .run(LK_ADD, UnsafePointer(dx.floats), UnsafePointer(scratch), dx.floats, call.pool)
  }

  /// ∂y by each of the numbers that make it up; equal extrema share it.
  private func derivative(of values: StridedValues<Float>, result: Float) -> (Float) -> Float {
    switch operation {
    case .sum: return { _ in 1 }
    case .mean:
      let part = 1 / Float(values.reduce(0) { count, _ in count + 1 })
      return { _ in part }
    case .max, .min:
      let part = 1 / Float(values.reduce(0) { $1 == result ? $0 + 1 : $0 })
      return { $0 == result ? part : 0 }
    case .prod:
      let zeros = values.reduce(0) { $1 == 0 ? $0 + 1 : $0 }
      let others = values.reduce(Float(1)) { $1 == 0 ? $0 : $0 * $1 }
      return { $0 == 0 ? (zeros == 1 ? others : 0) : (zeros == 0 ? others / $0 : 0) }
    case .l1: return { $0 > 0 ? 1 : $0 < 0 ? -1 : 0 }
    case .l2: return { result == 0 ? 0 : $0 / result }
    case .sumSquare: return { 2 * $0 }
    case .logSum:
      let sum = values.reduce(0.0) { $0 + Double($1) }
      return { _ in Float(1 / sum) }
    case .logSumExp: return { Float(exponential(Double($0) - Double(result))) }
    }
  }

  private func kernel(_ space: ReductionSpace) -> (lk_reduction, scale: Float)? {
    switch operation {
    case .mean: (LK_REDUCE_SUM, 1 / Float(space.length))
    case .sum, .logSum: (LK_REDUCE_SUM, 1)
    case .max: (LK_REDUCE_MAX, 1)
    case .min: (LK_REDUCE_MIN, 1)
    case .prod: (LK_REDUCE_PRODUCT, 1)
    case .l1: (LK_REDUCE_ABSOLUTE_SUM, 1)
    case .l2, .sumSquare: (LK_REDUCE_SQUARE_SUM, 1)
    case .logSumExp: nil
    }
  }

  private func reduceReals(_ values: some Sequence<Double>) -> Double {
    switch operation {
    case .sum: return values.reduce(0, +)
    case .mean:
      let (sum, count) = values.reduce(into: (0.0, 0.0)) { $0 = ($0.0 + $1, $0.1 + 1) }
      return sum / count
    case .max: return values.reduce(-.infinity) { $1 > $0 || $1.isNaN ? $1 : $0 }
    case .min: return values.reduce(.infinity) { $1 < $0 || $1.isNaN ? $1 : $0 }
    case .prod: return values.reduce(1, *)
    case .l1: return values.reduce(0) { $0 + abs($1) }
    case .l2: return values.reduce(0) { $0 + $1 * $1 }.squareRoot()
    case .sumSquare: return values.reduce(0) { $0 + $1 * $1 }
    case .logSum: return logarithm(values.reduce(0, +))
    case .logSumExp:
      let top = values.reduce(-Double.infinity) { $1 > $0 || $1.isNaN ? $1 : $0 }
      if !top.isFinite { return top }
      return top + logarithm(values.reduce(0) { $0 + exponential($1 - top) })
    }
  }

  private func reduceIntegers<T: FixedWidthInteger>(_ values: some Sequence<T>) -> T {
    switch operation {
    case .sum: return values.reduce(0, &+)
    case .max: return values.reduce(.min) { Swift.max($0, $1) }
    case .min: return values.reduce(.max) { Swift.min($0, $1) }
    case .prod: return values.reduce(1, &*)
    case .l1: return values.reduce(0) { $0 &+ ($1 < 0 ? 0 &- $1 : $1) }
    case .sumSquare: return values.reduce(0) { $0 &+ $1 &* $1 }
    case .mean, .l2, .logSum, .logSumExp:
      return T(saturating: reduceReals(values.lazy.map { Double($0) }))
    }
  }
}
