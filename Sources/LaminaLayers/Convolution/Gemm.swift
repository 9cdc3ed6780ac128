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
    let rows = c.shape.rank == 2 ? c.shape[0] : 1
    let columns = c.shape.rank > 0 ? c.shape[c.shape.rank - 1] : 1
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
