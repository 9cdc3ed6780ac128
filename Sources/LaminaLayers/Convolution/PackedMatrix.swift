import LaminaCore
import LaminaKernels

/// A constant matrix [depth, columns], packed as the right-hand side of products.
struct PackedMatrix: Sendable {
  let depth: Int
  let columns: Int
  private let packed: AlignedBuffer

  var byteCount: Int { packed.byteCount }
  var summary: String { "gemm " + String(cString: lk_isa_name(lk_active_isa())) }

  /// Packs a `float32` matrix, or its transpose.
  init(_ matrix: Tensor, isTransposed: Bool) throws {
    let (rows, rowCount) = (matrix.shape[0], matrix.shape[1])
    (depth, columns) = isTransposed ? (rowCount, rows) : (rows, rowCount)
    packed = try AlignedBuffer(byteCount: lk_f32_gemm_packed_bytes(columns, depth))
    lk_f32_gemm_pack(
      columns, depth, matrix.view.floats, rowCount, isTransposed, packed.baseAddress)
  }

  func scratchBytes(rows: Int, threads: Int) -> Int {
    lk_f32_gemm_packed_scratch_bytes(rows, columns, depth, Int32(threads))
  }

  /// output [rows, columns] = alpha · op(a) · self + beta · output + bias, op(a) [rows, depth].
  func multiply(
    _ a: UnsafePointer<Float>, rows: Int, isTransposed: Bool = false, alpha: Float = 1,
    beta: Float = 0, bias: UnsafePointer<Float>? = nil, into output: UnsafeMutablePointer<Float>,
    _ call: ForwardCall
  ) {
    guard let scratch = call.scratch.baseAddress else { return }
    lk_f32_gemm_packed(
      call.pool.handle, rows, columns, depth, alpha, a, isTransposed ? rows : depth, isTransposed,
      packed.baseAddress, bias, lk_activation(), beta, output, columns, scratch)
  }
}
