import LaminaKernels
import Testing

/// A dense layer with random numbers, and its results by the definition in double precision.
private struct DenseCase {
  let rows: Int
  let inputs: Int
  let outputs: Int
  let x: [Float]
  let weight: [Float]
  let bias: [Float]
  let dy: [Float]

  init(_ rows: Int, _ inputs: Int, _ outputs: Int) {
    (self.rows, self.inputs, self.outputs) = (rows, inputs, outputs)
    var generator = Generator(seed: UInt64(rows * 1_000_000 + inputs * 1000 + outputs))
    x = generator.floats(rows * inputs)
    weight = generator.floats(outputs * inputs)
    bias = generator.floats(outputs)
    dy = generator.floats(rows * outputs)
  }

  /// The first element that is off a sum of products.
  private func firstError(
    _ found: [Float], columns: Int, terms: Int, start: (Int, Int) -> Float,
    map: (Double) -> Double = { $0 }, product: (_ i: Int, _ j: Int, _ l: Int) -> (Float, Float)
  ) -> String? {
    for index in found.indices {
      let (i, j) = (index / columns, index % columns)
      var (sum, magnitude) = (Double(start(i, j)), 2.0)
      for l in 0..<terms {
        let (a, b) = product(i, j, l)
        sum += Double(a) * Double(b)
        magnitude += abs(Double(a) * Double(b))
      }
      if !(abs(Double(found[index]) - map(sum)) <= tolerance(terms: terms, magnitude: magnitude)) {
        return "[\(i), \(j)]: expected \(map(sum)), found \(found[index])"
      }
    }
    return nil
  }

  func forward(_ pool: OpaquePointer?, _ activation: lk_activation) -> Guarded {
    let y = Guarded(count: rows * outputs)
    let scratch = Guarded(
      bytes: lk_f32_dense_scratch_bytes(rows, inputs, outputs, lk_pool_thread_count(pool)))
    lk_f32_dense(
      pool, rows, inputs, outputs, x, weight, bias, activation, y.floats, scratch.raw)
    #expect(y.isIntact && scratch.isIntact)
    return y
  }

  func forwardError(_ y: [Float], _ map: (Double) -> Double) -> String? {
    firstError(y, columns: outputs, terms: inputs, start: { bias[$1] }, map: map) {
      (x[$0 * inputs + $2], weight[$1 * inputs + $2])
    }
  }

  /// Gradients by the input, the weight and the bias, each set, or added to ones.
  func gradients(_ pool: OpaquePointer?, adds: Bool) -> [Guarded] {
    let results = [rows * inputs, outputs * inputs, outputs].map { count in
      adds ? Guarded([Float](repeating: 1, count: count)) : Guarded(count: count)
    }
    let scratch = Guarded(
      bytes: lk_f32_dense_gradients_scratch_bytes(
        rows, inputs, outputs, lk_pool_thread_count(pool)))
    x.withUnsafeBufferPointer { x in
      weight.withUnsafeBufferPointer { weight in
        dy.withUnsafeBufferPointer { dy in
          var call = lk_dense_gradients(
            weight: weight.baseAddress, x: x.baseAddress, dy: dy.baseAddress,
            dx: results[0].floats, dweight: results[1].floats, dbias: results[2].floats,
            adds_x: adds, adds_weight: adds, adds_bias: adds)
          lk_f32_dense_gradients(pool, rows, inputs, outputs, &call, scratch.raw)
        }
      }
    }
    #expect(results.allSatisfy(\.isIntact) && scratch.isIntact)
    return results
  }

  func gradientError(_ results: [Guarded], adds: Bool) -> String? {
    let start: (Int, Int) -> Float = { _, _ in adds ? 1 : 0 }
    return firstError(results[0].values, columns: inputs, terms: outputs, start: start) {
      (dy[$0 * outputs + $2], weight[$2 * inputs + $1])
    }
      ?? firstError(results[1].values, columns: inputs, terms: rows, start: start) {
        (dy[$2 * outputs + $0], x[$2 * inputs + $1])
      }
      ?? firstError(results[2].values, columns: outputs, terms: rows, start: start) {
        (dy[$2 * outputs + $1], 1)
      }
  }
}

@Suite struct DenseKernelTests {
  private let threads = TwoThreads()

  /// Small and large, of one row, of one input, of one output, with rows that crowd one set of the caches.
  private static let extents = [
    (32, 40, 12), (9, 84, 10), (37, 70, 33), (1, 50, 90), (5, 1, 20), (6, 30, 1), (20, 1024, 17),
    (17, 20, 1024), (70, 80, 300), (2, 900, 620),
  ]

  @Test(arguments: extents) func matchesTheDefinition(_ rows: Int, _ inputs: Int, _ outputs: Int) {
    let dense = DenseCase(rows, inputs, outputs)
    let clamp = lk_activation(kind: LK_ACTIVATION_CLAMP, low: 0, high: 1.5, slope: 0)
    withEveryISA { isa in
      let y = dense.forward(nil, clamp)
      #expect(dense.forwardError(y.values) { min(max($0, 0), 1.5) } == nil, "\(isa)")
      #expect(dense.forward(threads.pool, clamp).bits == y.bits, "\(isa)")
      for adds in [false, true] {
        let gradients = dense.gradients(nil, adds: adds)
        #expect(dense.gradientError(gradients, adds: adds) == nil, "\(isa)")
        let again = dense.gradients(threads.pool, adds: adds)
        #expect(again.map(\.bits) == gradients.map(\.bits), "\(isa)")
      }
    }
  }

  @Test func noRowsLeaveZerosInTheGradients() {
    withEveryISA { _ in
      let results = DenseCase(0, 3, 2).gradients(nil, adds: false)
      #expect(results.map(\.values) == [[], [0, 0, 0, 0, 0, 0], [0, 0]])
    }
  }
}
