import Foundation
import LaminaKernels
import Testing

@Suite struct NormalizationKernelTests {
  /// Compares every instruction set, alone and on two threads, with sums in double precision.
  private func check(
    _ count: Int, _ want: [Double], tolerance: Double, _ name: String,
    _ run: (OpaquePointer?, UnsafeMutablePointer<Float>) -> Void
  ) {
    let threads = TwoThreads()
    withEveryISA { isa in
      let y = Guarded(count: count)
      run(threads.pool, y.floats)
      let alone = Guarded(count: count)
      run(nil, alone.floats)
      #expect(y.isIntact && alone.isIntact && y.bits == alone.bits, "\(name) on \(isa): threads")
      let worst = zip(y.values, want).map { abs(Double($0) - $1) / max(1, abs($1)) }.max() ?? 0
      #expect(worst <= tolerance, "\(name) on \(isa): \(worst)")
    }
  }

  @Test func longRowsKeepTheirPrecision() {
    var generator = Generator(seed: 1)
    let (rows, length) = (3, 100_003)
    let x = generator.floats(rows * length).map { $0 + 3 }
    let sums = (0..<rows).map { row in
      x[row * length..<(row + 1) * length].reduce(0) { $0 + Double($1) }
    }
    check(rows, sums.map { $0 / Double(length) }, tolerance: 1e-6, "mean") { pool, y in
      lk_f32_reduce(pool, LK_REDUCE_SUM, 1 / Float(length), x, y, rows, length, 1)
    }
    var normalized: [Double] = []
    for row in 0..<rows {
      let values = x[row * length..<(row + 1) * length].map(Double.init)
      let mean = sums[row] / Double(length)
      let variance = values.map { ($0 - mean) * ($0 - mean) }.reduce(0, +) / Double(length)
      normalized += values.map { ($0 - mean) / (variance + 1e-5).squareRoot() }
    }
    check(rows * length, normalized, tolerance: 3e-6, "normalize") { pool, y in
      var shape = lk_rows(count: rows, groups: 1, channels: 1, area: length)
      lk_f32_normalize(pool, &shape, 1e-5, x, nil, nil, y, nil, nil)
    }
  }

  @Test(arguments: [1, 3, 16, 64, 65, 200])
  func columnsOfEveryWidth(_ inner: Int) {
    var generator = Generator(seed: 2)
    let (outer, length) = (3, 37)
    let x = generator.floats(outer * length * inner)
    func column(_ i: Int) -> [Double] {
      (0..<length).map { Double(x[(i / inner * length + $0) * inner + i % inner]) }
    }
    let columns = (0..<outer * inner).map(column)
    check(outer * inner, columns.map { $0.map(abs).reduce(0, +) }, tolerance: 1e-6, "l1") {
      lk_f32_reduce($0, LK_REDUCE_ABSOLUTE_SUM, 1, x, $1, outer, length, inner)
    }
    check(outer * inner, columns.map { $0.max() ?? 0 }, tolerance: 0, "max") {
      lk_f32_reduce($0, LK_REDUCE_MAX, 1, x, $1, outer, length, inner)
    }
    let totals = columns.map { $0.map { exp($0) }.reduce(0, +) }
    let softmax = (0..<x.count).map { i in
      exp(Double(x[i])) / totals[i / (length * inner) * inner + i % inner]
    }
    check(x.count, softmax, tolerance: 1e-7, "softmax") {
      lk_f32_softmax($0, false, x, $1, outer, length, inner)
    }
    check(x.count, softmax.map { log($0) }, tolerance: 5e-7, "log softmax") {
      lk_f32_softmax($0, true, x, $1, outer, length, inner)
    }
  }

  /// A large value must leave no trace in the windows that do not hold it.
  @Test func responsesForgetLargeNeighbours() {
    var x = [Float](repeating: 1, count: 40)
    x[10] = 1e18
    let want = (0..<40).map { c in
      let sum = (max(0, c - 2)...min(39, c + 2)).map { Double(x[$0]) * Double(x[$0]) }.reduce(0, +)
      return Double(x[c]) / pow(2 + 0.1 * sum, 0.75)
    }
    check(40, want, tolerance: 1e-6, "lrn") { lk_f32_lrn($0, x, $1, 1, 40, 1, 2, 2, 0.1, 0.75, 2) }
  }
}
