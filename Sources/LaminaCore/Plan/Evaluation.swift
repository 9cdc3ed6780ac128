/// Runs one layer on tensors, outside any plan: constant folding and tests.
///
/// - Parameters:
///   - outputs: what `layer.outputs(for:)` returned for the inputs.
/// - Returns: one tensor for each output.
public func evaluate(
  _ layer: any Layer, inputs: [Tensor], parameters: [Tensor], outputs: [TensorSpec],
  pool: ThreadPool
) throws -> [Tensor] {
  let results = try outputs.map { try Tensor(uninitialized: $0.shape, $0.type) }
  let scratch = try AlignedBuffer(
    byteCount: layer.scratchBytes(
      for: inputs.map { TensorSpec(constant: $0) }, threads: pool.threadCount))
  let call = ForwardCall(
    inputs: inputs.map(\.view), parameters: parameters.map(\.view),
    outputs: results.map { result in
      result.withMutableBytes { bytes in
        MutableTensorView(result.shape, result.type, bytes.baseAddress ?? scratch.baseAddress)
      }
    },
    scratch: UnsafeMutableRawBufferPointer(start: scratch.baseAddress, count: scratch.byteCount),
    pool: pool)
  try withExtendedLifetime((inputs, parameters, results, scratch)) {
    try flushingDenormals { try layer.forward(call) }
  }
  return results
}
