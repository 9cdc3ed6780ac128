import LaminaCore
import LaminaKernels

/// `y = alpha · op(a) · op(b) + beta · c`, where op transposes when `transpose_a` or `transpose_b`
/// is set.
///
/// Inputs `a` and `b` are matrices with op(a) [m, k] and op(b) [k, n]; `c`, which may be absent,
/// broadcasts to the output [m, n].
package struct Gemm: Layer {
  /// `lamina.gemm`.
  package static let kind: LayerKind = "lamina.gemm"
  /// `a`, `b` and perhaps `c`.
  package static let arity = 2...3
  /// Reads the matrices.
  package static let gradient = Gradient.supported(inputs: true, outputs: false)

  private let alpha: Float
  private let beta: Float
  private let transposeA: Bool
  private let transposeB: Bool

  /// Attributes `alpha` (1), `beta` (1), `transpose_a` (false), `transpose_b` (false).
  package init(attributes: inout AttributeReader) throws {
    alpha = try attributes.float("alpha", default: 1)
    beta = try attributes.float("beta", default: 1)
    transposeA = try attributes.bool("transpose_a", default: false)
    transposeB = try attributes.bool("transpose_b", default: false)
  }

  package func encode(into attributes: inout AttributeWriter) {
    if alpha != 1 { attributes.float("alpha", alpha) }
    if beta != 1 { attributes.float("beta", beta) }
    if transposeA { attributes.bool("transpose_a", transposeA) }
    if transposeB { attributes.bool("transpose_b", transposeB) }
  }

  private struct Extents {
    var m: Int
    var n: Int
    var k: Int
  }

  private func extents(of inputs: [TensorSpec]) throws -> Extents {
    for input in inputs where input.type != .float32 {
      throw LaminaError(.shape, "expected float32, found \(input.type.rawValue)")
    }
    let (a, b) = (inputs[0].shape, inputs[1].shape)
    guard a.rank == 2, b.rank == 2 else {
      throw LaminaError(.shape, "expected 2 matrices, found \(a) and \(b)")
    }
    let (m, k) = transposeA ? (a[1], a[0]) : (a[0], a[1])
    let (depth, n) = transposeB ? (b[1], b[0]) : (b[0], b[1])
    guard k == depth else {
      throw LaminaError(.shape, "expected equal inner extents, found \(k) and \(depth)")
    }
    return Extents(m: m, n: n, k: k)
  }

  package func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] {
    let extents = try extents(of: inputs)
    let output = try Shape([extents.m, extents.n])
    if inputs.count > 2 {
      let c = inputs[2].shape
      guard c.rank <= 2, (try? c.broadcast(with: output)) == output else {
        throw LaminaError(.shape, "expected a third input that broadcasts to \(output), found \(c)")
      }
    }
    return [TensorSpec(output)]
  }

  package func scratchBytes(for inputs: [TensorSpec], threads: Int) -> Int {
    guard let extents = try? extents(of: inputs) else { return 0 }
    return lk_f32_gemm_scratch_bytes(extents.m, extents.n, extents.k, Int32(threads))
  }

  package func multiplyAdds(for inputs: [TensorSpec], outputs: [TensorSpec]) -> Int {
    guard let extents = try? extents(of: inputs) else { return 0 }
    return saturatingProduct(saturatingProduct(extents.m, extents.n), extents.k)
  }

  /// Writes the third input to the output and returns the factor it still wants.
  fileprivate func fill(_ call: ForwardCall) -> Float {
    guard call.inputs.count > 2, beta != 0 else { return 0 }
    let (c, output) = (call.inputs[2], call.outputs[0])
    let (m, n) = (output.shape[0], output.shape[1])
    let (rows, columns) = broadcastExtents(of: c.shape)
    for i in 0..<m {
      let from = c.floats + (rows == 1 ? 0 : i * columns)
      let to = output.floats + i * n
      if columns == 1 {
        to.update(repeating: from[0], count: n)
      } else {
        to.update(from: from, count: n)
      }
    }
    return beta
  }

  package func forward(_ call: ForwardCall) throws {
    let (a, b, output) = (call.inputs[0], call.inputs[1], call.outputs[0])
    guard output.shape.count > 0, let scratch = call.scratch.baseAddress else { return }
    let factor = fill(call)
    lk_f32_gemm(
      call.pool.handle, output.shape[0], output.shape[1], a.shape[transposeA ? 0 : 1], alpha,
      a.floats, a.shape[1], transposeA, b.floats, b.shape[1], transposeB, factor, output.floats,
      output.shape[1], scratch)
  }

  package func backwardScratchBytes(for inputs: [TensorSpec], threads: Int) -> Int {
    guard let extents = try? extents(of: inputs) else { return 0 }
    let (m, n, k) = (extents.m, extents.n, extents.k)
    return [(m, k, n), (k, m, n), (k, n, m), (n, k, m)].reduce(0) {
      max($0, lk_f32_gemm_scratch_bytes($1.0, $1.1, $1.2, Int32(threads)))
    }
  }

  package func backward(_ call: BackwardCall) throws {
    guard let output = call.outputGradients[0], output.shape.count > 0,
      let scratch = call.scratch.baseAddress
    else { return }
    let (m, n, gradient) = (output.shape[0], output.shape[1], output.floats)
    if let result = call.inputGradients[0], let b = call.inputs[1] {
      let k = b.shape[transposeB ? 1 : 0]
      if transposeA {
        lk_f32_gemm(
          call.pool.handle, k, m, n, alpha, b.floats, b.shape[1], transposeB, gradient, n, true, 1,
          result.floats, m, scratch)
      } else {
        lk_f32_gemm(
          call.pool.handle, m, k, n, alpha, gradient, n, false, b.floats, b.shape[1], !transposeB,
          1, result.floats, k, scratch)
      }
    }
    if let result = call.inputGradients[1], let a = call.inputs[0] {
      let k = a.shape[transposeA ? 0 : 1]
      if transposeB {
        lk_f32_gemm(
          call.pool.handle, n, k, m, alpha, gradient, n, true, a.floats, a.shape[1], transposeA, 1,
          result.floats, k, scratch)
      } else {
        lk_f32_gemm(
          call.pool.handle, k, n, m, alpha, a.floats, a.shape[1], !transposeA, gradient, n, false,
          1, result.floats, n, scratch)
      }
    }
    if call.inputGradients.count > 2, let result = call.inputGradients[2] {
      let (rows, columns) = broadcastExtents(of: result.shape)
      for i in 0..<m {
        for j in 0..<n {
          result.floats[(rows == 1 ? 0 : i * columns) + (columns == 1 ? 0 : j)] +=
            beta * gradient[i * n + j]
        }
      }
    }
  }

  /// Rows and columns of the third input, 1 where it broadcasts.
  private func broadcastExtents(of c: Shape) -> (rows: Int, columns: Int) {
    (c.rank == 2 ? c[0] : 1, c.dimensions.last ?? 1)
  }

  package func prepare(_ context: PrepareContext) throws -> (any PreparedLayer)? {
    guard let b = context.inputs[1].value, context.outputs[0].shape.count > 0 else { return nil }
    return PreparedGemm(
      layer: self, alpha: alpha, isTransposed: transposeA,
      matrix: try PackedMatrix(b, isTransposed: transposeB), rows: context.outputs[0].shape[0],
      threads: context.threads)
  }
}

private struct PreparedGemm: PreparedLayer {
  let layer: Gemm
  let alpha: Float
  let isTransposed: Bool
  let matrix: PackedMatrix
  let rows: Int
  let threads: Int

  var scratchBytes: Int { matrix.scratchBytes(rows: rows, threads: threads) }
  var packedBytes: Int { matrix.byteCount }
  var summary: String { matrix.summary }

  func run(_ call: ForwardCall) throws {
    matrix.multiply(
      call.inputs[0].floats, rows: rows, isTransposed: isTransposed, alpha: alpha,
      beta: layer.fill(call), into: call.outputs[0].floats, call)
  }
}
