import LaminaCore
import LaminaKernels

/// `y[…, i, j] = Σ a[…, i, l] · b[…, l, j]`: the matrix product over the last two axes, by NumPy's
/// rules.
///
/// Inputs `a` `[batch…, m, k]` and `b` `[batch…, k, n]`, whose batch axes broadcast; output
/// `[batch…, m, n]`. A vector stands for a row on the left and a column on the right, and its axis
/// is dropped. The type is `float32`, `float64` or an integer; integers wrap.
package struct MatMul: Layer {
  /// `lamina.matmul`.
  package static let kind: LayerKind = "lamina.matmul"
  /// `a` and `b`.
  package static let arity = 2...2
  /// Reads both; of `float32` alone.
  package static let gradient = Gradient.supported(inputs: true, outputs: false)

  /// No attributes.
  package init(attributes: inout AttributeReader) throws {}

  package func encode(into attributes: inout AttributeWriter) {}

  /// The product as matrices: extents, batch axes of the result, and the batch axes of each
  /// operand.
  private struct Extents {
    let m: Int
    let n: Int
    let k: Int
    let batch: Shape
    let batchA: Shape
    let batchB: Shape
    let output: Shape

    init(_ a: Shape, _ b: Shape) throws {
      guard a.rank > 0, b.rank > 0 else {
        throw LaminaError(.shape, "expected at least 1 axis, found \(a) and \(b)")
      }
      m = a.rank > 1 ? a[a.rank - 2] : 1
      n = b.rank > 1 ? b[b.rank - 1] : 1
      k = a[a.rank - 1]
      let depth = b.rank > 1 ? b[b.rank - 2] : b[0]
      guard k == depth else {
        throw LaminaError(.shape, "expected equal inner extents, found \(k) and \(depth)")
      }
      batchA = try Shape(Array(a.dimensions.dropLast(2)))
      batchB = try Shape(Array(b.dimensions.dropLast(2)))
      batch = try batchA.broadcast(with: batchB)
      output = try Shape(
        batch.dimensions + (a.rank > 1 ? [m] : []) + (b.rank > 1 ? [n] : []))
    }

    /// Calls `body` with the number of the matrix of `a`, of `b` and of the result, for each
    /// result.
    func forEachMatrix(_ body: (Int, Int, Int) -> Void) {
      var odometer = IndexOdometer(batch.dimensions)
      let (stridesA, stridesB) = (strides(of: batchA), strides(of: batchB))
      for matrix in 0..<batch.count {
        let a = zip(odometer.index, stridesA).reduce(0) { $0 + $1.0 * $1.1 }
        let b = zip(odometer.index, stridesB).reduce(0) { $0 + $1.0 * $1.1 }
        body(a, b, matrix)
        odometer.advance()
      }
    }

    /// Strides over the result's batch axes; 0 where the operand broadcasts.
    private func strides(of operand: Shape) -> [Int] {
      let own = zip(operand.strides, operand.dimensions).map { $1 == 1 ? 0 : $0 }
      return [Int](repeating: 0, count: batch.rank - operand.rank) + own
    }

    /// Whether all matrices of `a` meet one matrix of `b`, so that their rows form one product.
    var isOneProduct: Bool { batchB.count == 1 && batchA.count == batch.count }
  }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    let (a, b) = (inputs[0], inputs[1])
    guard a.type == b.type else {
      throw LaminaError(
        .shape, "expected equal element types, found \(a.type.rawValue) and \(b.type.rawValue)")
    }
    guard a.type.isInteger || a.type == .float32 || a.type == .float64 else {
      throw LaminaError(
        .shape, "expected float32, float64 or integers, found \(a.type.rawValue)")
    }
    return [TensorSpec(try Extents(a.shape, b.shape).output, a.type)]
  }

  package func scratchBytes(for inputs: [TensorSpec], threads: Int) -> Int {
    guard inputs.count == 2, inputs[0].type == .float32,
      let extents = try? Extents(inputs[0].shape, inputs[1].shape)
    else { return 0 }
    return lk_f32_gemm_scratch_bytes(rows(extents), extents.n, extents.k, Int32(threads))
  }

  private func rows(_ extents: Extents) -> Int {
    extents.isOneProduct ? extents.batch.count * extents.m : extents.m
  }

  package func multiplyAdds(for inputs: [TensorSpec], outputs: [TensorSpec]) -> Int {
    guard let depth = inputs.first?.shape.dimensions.last, let output = outputs.first else {
      return 0
    }
    return saturatingProduct(output.shape.count, depth)
  }

  package func forward(_ call: ForwardCall) throws {
    let (a, b, output) = (call.inputs[0], call.inputs[1], call.outputs[0])
    guard output.shape.count > 0 else { return }
    let extents = try Extents(a.shape, b.shape)
    switch a.type {
    case .float32: multiplyFloats(extents, call)
    case .float64: multiply(Double.self, extents, call, add: +, times: *)
    case .int8: multiply(Int8.self, extents, call, add: &+, times: &*)
    case .int16: multiply(Int16.self, extents, call, add: &+, times: &*)
    case .int32: multiply(Int32.self, extents, call, add: &+, times: &*)
    case .int64: multiply(Int64.self, extents, call, add: &+, times: &*)
    case .uint8: multiply(UInt8.self, extents, call, add: &+, times: &*)
    case .uint16: multiply(UInt16.self, extents, call, add: &+, times: &*)
    case .uint32: multiply(UInt32.self, extents, call, add: &+, times: &*)
    case .uint64: multiply(UInt64.self, extents, call, add: &+, times: &*)
    case .float16, .bfloat16, .bool:
      throw LaminaError(.shape, "expected float32, float64 or integers, found \(a.type.rawValue)")
    }
  }

  private func multiplyFloats(_ extents: Extents, _ call: ForwardCall) {
    guard let scratch = call.scratch.baseAddress else { return }
    let (a, b, output) = (call.inputs[0].floats, call.inputs[1].floats, call.outputs[0].floats)
    let (n, k) = (extents.n, extents.k)
    if extents.isOneProduct {
      lk_f32_gemm(
        call.pool.handle, rows(extents), n, k, 1, a, k, false, b, n, false, 0, output, n, scratch)
      return
    }
    extents.forEachMatrix { matrixA, matrixB, matrix in
      lk_f32_gemm(
        call.pool.handle, extents.m, n, k, 1, a + matrixA * extents.m * k, k, false,
        b + matrixB * k * n, n, false, 0, output + matrix * extents.m * n, n, scratch)
    }
  }

  private func multiply<T: TensorElement & Numeric>(
    _: T.Type, _ extents: Extents, _ call: ForwardCall, add: (T, T) -> T, times: (T, T) -> T
  ) {
    let a = call.inputs[0].elements(as: T.self)
    let b = call.inputs[1].elements(as: T.self)
    let output = call.outputs[0].elements(as: T.self)
    let (m, n, k) = (extents.m, extents.n, extents.k)
    extents.forEachMatrix { matrixA, matrixB, matrix in
      for i in 0..<m {
        for j in 0..<n {
          var sum: T = 0
          for l in 0..<k {
            sum = add(sum, times(a[(matrixA * m + i) * k + l], b[(matrixB * k + l) * n + j]))
          }
          output[(matrix * m + i) * n + j] = sum
        }
      }
    }
  }

  package func backwardScratchBytes(for inputs: [TensorSpec], threads: Int) -> Int {
    guard inputs.count == 2, inputs[0].type == .float32,
      let extents = try? Extents(inputs[0].shape, inputs[1].shape)
    else { return 0 }
    let (m, n, k) = (rows(extents), extents.n, extents.k)
    return max(
      lk_f32_gemm_scratch_bytes(m, k, n, Int32(threads)),
      lk_f32_gemm_scratch_bytes(k, n, m, Int32(threads)))
  }

  package func backward(_ call: BackwardCall) throws {
    guard let output = call.outputGradients[0], output.shape.count > 0,
      let a = call.inputs[0], let b = call.inputs[1], let scratch = call.scratch.baseAddress
    else { return }
    let extents = try Extents(a.shape, b.shape)
    let (m, n, k) = (rows(extents), extents.n, extents.k)
    func differentiate(_ matrixA: Int, _ matrixB: Int, _ matrix: Int) {
      let gradient = output.floats + matrix * m * n
      if let result = call.inputGradients[0] {
        lk_f32_gemm(
          call.pool.handle, m, k, n, 1, gradient, n, false, b.floats + matrixB * k * n, n, true, 1,
          result.floats + matrixA * m * k, k, scratch)
      }
      if let result = call.inputGradients[1] {
        lk_f32_gemm(
          call.pool.handle, k, n, m, 1, a.floats + matrixA * m * k, k, true, gradient, n, false, 1,
          result.floats + matrixB * k * n, n, scratch)
      }
    }
    if extents.isOneProduct {
      differentiate(0, 0, 0)
    } else {
      extents.forEachMatrix(differentiate)
    }
  }

  package func prepare(_ context: PrepareContext) throws -> (any PreparedLayer)? {
    guard let b = context.inputs[1].value, b.type == .float32, b.shape.rank == 2,
      context.outputs[0].shape.count > 0
    else { return nil }
    let matrix = try PackedMatrix(b, isTransposed: false)
    return PreparedMatMul(
      matrix: matrix, rows: context.outputs[0].shape.count / max(matrix.columns, 1),
      threads: context.threads)
  }
}

private struct PreparedMatMul: PreparedLayer {
  let matrix: PackedMatrix
  let rows: Int
  let threads: Int

  var scratchBytes: Int { matrix.scratchBytes(rows: rows, threads: threads) }
  var packedBytes: Int { matrix.byteCount }
  var summary: String { matrix.summary }

  func run(_ call: ForwardCall) throws {
    matrix.multiply(call.inputs[0].floats, rows: rows, into: call.outputs[0].floats, call)
  }
}
