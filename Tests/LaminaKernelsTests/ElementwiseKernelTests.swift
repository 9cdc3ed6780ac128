import Foundation
import LaminaKernels
import Testing

/// The largest error of a function in units in the last place of the exact result.
private func largestError(_ f: lk_unary, _ x: [Float], _ exact: (Double) -> Double) -> Double {
  var y = [Float](repeating: 0, count: x.count)
  lk_f32_unary(nil, f, 1, 1, x, &y, x.count)
  var worst = 0.0
  for (x, y) in zip(x, y) {
    let want = exact(Double(x))
    let nearest = Float(want)
    if y == nearest || (y.isNaN && nearest.isNaN) { continue }
    let ulp = Double(max(nearest.magnitude, Float.leastNormalMagnitude).ulp)
    worst = max(worst, abs(Double(y) - want) / ulp)
  }
  return worst
}

/// Every 997th float from 10⁻³⁰ to `limit`, of both signs unless `positive`.
private func floats(to limit: Float, positive: Bool = false) -> [Float] {
  stride(from: Float(1e-30).bitPattern, through: limit.bitPattern, by: 997).flatMap {
    let x = Float(bitPattern: $0)
    return positive ? [x] : [x, -x]
  }
}

@Suite struct ElementwiseKernelTests {
  @Test func elementaryFunctionsAreAccurate() {
    let bounds: [(String, lk_unary, [Float], Double, (Double) -> Double)] = [
      ("exp", LK_EXP, floats(to: 88.7), 1.1, { exp($0) }),
      ("log", LK_LOG, floats(to: 3e38, positive: true), 1, { log($0) }),
      ("tanh", LK_TANH, floats(to: 20), 1.5, { tanh($0) }),
      ("sigmoid", LK_SIGMOID, floats(to: 80), 2, { 1 / (1 + exp(-$0)) }),
      ("erf", LK_ERF, floats(to: 6), 1.5, { erf($0) }),
      ("softplus", LK_SOFTPLUS, floats(to: 80), 3, { max($0, 0) + log1p(exp(-abs($0))) }),
      ("elu", LK_ELU, floats(to: 80), 1.5, { $0 < 0 ? expm1($0) : $0 }),
    ]
    withEveryISA { isa in
      for (name, f, x, bound, exact) in bounds {
        let error = largestError(f, x, exact)
        #expect(error <= bound, "\(name) on \(isa): \(error) ulp")
      }
    }
  }

  @Test func compositesAreAccurateInAbsoluteTerms() {
    let x = floats(to: 40)
    let root = (2 / Double.pi).squareRoot()
    let bounds: [(String, lk_unary, (Double) -> Double)] = [
      ("gelu", LK_GELU, { 0.5 * $0 * (1 + erf($0 / 2.squareRoot())) }),
      ("gelu tanh", LK_GELU_TANH, { 0.5 * $0 * (1 + tanh(root * ($0 + 0.044715 * $0 * $0 * $0))) }),
      ("swish", LK_SWISH, { $0 / (1 + exp(-$0)) }),
      ("mish", LK_MISH, { $0 * tanh(max($0, 0) + log1p(exp(-abs($0)))) }),
    ]
    withEveryISA { isa in
      for (name, f, exact) in bounds {
        var y = [Float](repeating: 0, count: x.count)
        lk_f32_unary(nil, f, 1, 1, x, &y, x.count)
        let worst = zip(x, y).map { abs(Double($1) - exact(Double($0))) / max(1, abs(Double($0))) }
          .max()
        #expect(worst ?? 1 <= 2e-7, "\(name) on \(isa): \(worst ?? 1)")
      }
    }
  }

  /// Derivatives against central differences of the formulas in double, away from kinks.
  @Test func derivativesAreAccurate() {
    let root = (2 / Double.pi).squareRoot()
    let bounds: [(lk_unary, Float, Float, (Double) -> Double)] = [
      (LK_RELU, 0, 0, { max($0, 0) }),
      (LK_CLIP, -1.5, 2.5, { min(max($0, -1.5), 2.5) }),
      (LK_LEAKY_RELU, 0.1, 0, { $0 < 0 ? Double(Float(0.1)) * $0 : $0 }),
      (LK_ELU, 1.5, 0, { $0 < 0 ? 1.5 * expm1($0) : $0 }),
      (LK_CELU, 1.5, 0, { max($0, 0) + min(0, 1.5 * expm1($0 / 1.5)) }),
      (LK_SELU, 1.5, 1.25, { 1.25 * ($0 > 0 ? $0 : 1.5 * expm1($0)) }),
      (LK_SIGMOID, 0, 0, { 1 / (1 + exp(-$0)) }),
      (LK_TANH, 0, 0, { tanh($0) }),
      (LK_SCALED_TANH, 1.5, 0.75, { 1.5 * tanh(0.75 * $0) }),
      (LK_SOFTPLUS, 0, 0, { log1p(exp($0)) }),
      (LK_SOFTSIGN, 0, 0, { $0 / (1 + abs($0)) }),
      (LK_HARD_SIGMOID, 0.25, 0.5, { max(0, min(1, 0.25 * $0 + 0.5)) }),
      (LK_HARD_SWISH, 0, 0, { $0 * max(0, min(1, $0 / 6 + 0.5)) }),
      (LK_MISH, 0, 0, { $0 * tanh(log1p(exp($0))) }),
      (LK_GELU, 0, 0, { 0.5 * $0 * (1 + erf($0 / 2.squareRoot())) }),
      (LK_GELU_TANH, 0, 0, { 0.5 * $0 * (1 + tanh(root * ($0 + 0.044715 * $0 * $0 * $0))) }),
      (LK_SWISH, 1.5, 0, { $0 / (1 + exp(-1.5 * $0)) }),
      (LK_THRESHOLDED_RELU, 1, 0, { $0 > 1 ? $0 : 0 }),
      (LK_SHRINK, 0.5, 1, { $0 < -1 ? $0 + 0.5 : $0 > 1 ? $0 - 0.5 : 0 }),
      (LK_SCALE, 1.5, 0, { 1.5 * $0 }),
      (LK_EXP, 0, 0, { exp($0) }),
      (LK_SQUARE, 0, 0, { $0 * $0 }),
      (LK_ABS, 0, 0, { abs($0) }),
      (LK_NEG, 0, 0, { -$0 }),
      (LK_FLOOR, 0, 0, { $0.rounded(.down) }),
      (LK_ERF, 0, 0, { erf($0) }),
      (LK_SIN, 0, 0, { sin($0) }),
      (LK_COS, 0, 0, { cos($0) }),
      (LK_ATAN, 0, 0, { atan($0) }),
      (LK_SINH, 0, 0, { sinh($0) }),
      (LK_COSH, 0, 0, { cosh($0) }),
      (LK_ASINH, 0, 0, { asinh($0) }),
    ]
    // Fractions of 1/32 of odd numerators: no kink lies there.
    let x = stride(from: Float(-5), to: 5, by: 0x1p-4).map { $0 + 0x1p-5 }
    let dy = x.map { 1 + $0 / 8 }
    withEveryISA { isa in
      for (f, a, b, exact) in bounds {
        var y = [Float](repeating: 0, count: x.count)
        lk_f32_unary(nil, f, a, b, x, &y, x.count)
        let v = lk_unary_gradient_reads_output(f) ? y : x
        let (set, added) = (Guarded(count: x.count), Guarded(x))
        lk_f32_unary_gradient(nil, f, a, b, v, dy, set.floats, false, x.count)
        lk_f32_unary_gradient(nil, f, a, b, v, dy, added.floats, true, x.count)
        for i in x.indices {
          let h = 1e-5
          let slope = (exact(Double(x[i]) + h) - exact(Double(x[i]) - h)) / (2 * h)
          let want = Double(dy[i]) * slope
          let limit = 3e-6 * max(1, abs(want))
          #expect(abs(Double(set.values[i]) - want) <= limit, "\(f) of \(x[i]) on \(isa)")
          #expect(
            abs(Double(added.values[i]) - Double(x[i]) - want) <= 2 * limit,
            "\(f) of \(x[i]) on \(isa), added")
        }
        #expect(set.isIntact && added.isIntact)
      }
    }
  }

  @Test func everyLengthIsWrittenExactly() {
    var generator = Generator(seed: 3)
    withEveryISA { isa in
      for count in Array(0...67) + [32767, 32768, 32769] {
        let x = generator.floats(count)
        let y = Guarded(count: count)
        lk_f32_unary(nil, LK_LEAKY_RELU, 0.5, 0, x, y.floats, count)
        #expect(y.isIntact && y.values == x.map { $0 < 0 ? 0.5 * $0 : $0 }, "\(isa), \(count)")
      }
    }
  }

  @Test func rowsOfEveryKindBroadcast() {
    var generator = Generator(seed: 4)
    let threads = TwoThreads()
    withEveryISA { isa in
      for inner in [1, 5, 16, 47, 33000] {
        for (aStep, bStep) in [(1, 1), (1, 0), (0, 1), (0, 0)] {
          let rows = 3
          let a = generator.floats(rows * inner)
          let b = generator.floats(rows * inner)
          var shape = lk_broadcast()
          shape.rank = 2
          shape.extents = (rows, inner, 0, 0, 0, 0, 0, 0)
          shape.a_strides = (inner, aStep, 0, 0, 0, 0, 0, 0)
          shape.b_strides = (0, bStep, 0, 0, 0, 0, 0, 0)
          let y = Guarded(count: rows * inner)
          lk_f32_binary(threads.pool, LK_SUB, &shape, a, b, y.floats)
          let want = (0..<rows * inner).map { i in
            a[i / inner * inner + i % inner * aStep] - b[i % inner * bStep]
          }
          #expect(y.isIntact && y.values == want, "\(isa), inner \(inner), steps \(aStep) \(bStep)")
        }
      }
    }
  }

  // MARK: Dropout

  private static let dropout = lk_dropout(
    key: 0x1234_5678_9ABC_DEF0, threshold: 0x66_6667, scale: 1.25)

  /// What `dropout` makes of the number x with this index.
  private static func drop(_ x: Float, at index: Int) -> Float {
    var generator = Generator(seed: dropout.key ^ UInt64(index) &* 0xD134_2543_DE82_EF95)
    return generator.next() >> 40 >= dropout.threshold ? x * dropout.scale : 0
  }

  @Test func dropoutDependsOnIndicesAlone() {
    var generator = Generator(seed: 5)
    withEveryISA { isa in
      for count in Array(0...37) + [32767, 32768, 65541] {
        let x = generator.floats(count)
        let (set, added) = (Guarded(count: count), Guarded(x))
        withUnsafePointer(to: Self.dropout) {
          lk_f32_dropout(nil, $0, x, set.floats, false, count)
          lk_f32_dropout(nil, $0, x, added.floats, true, count)
        }
        let want = x.indices.map { Self.drop(x[$0], at: $0) }
        #expect(set.isIntact && set.values == want, "\(isa), \(count)")
        #expect(added.isIntact && added.values == zip(x, want).map { $0 + $1 }, "\(isa), \(count)")
      }
    }
  }

  @Test func dropoutOfMapsIsThatOfPlainTensors() {
    var generator = Generator(seed: 6)
    let (batch, channels, height, width) = (3, 21, 4, 5)
    let x = generator.floats(batch * channels * height * width)
    let threads = TwoThreads()
    withEveryISA { isa in
      let block = lk_block_channels(lk_active_isa())
      for halo in [0, 1, 3] {
        let (rows, columns) = (height + 2 * halo, width + 2 * halo)
        let count = (channels + block - 1) / block * batch * rows * columns * block
        var (maps, want) = (
          [Float](repeating: 0, count: count), [Float](repeating: 0, count: count)
        )
        for i in x.indices {
          let (y, column) = (i / width % height, i % width)
          let (c, n) = (i / (width * height) % channels, i / (width * height * channels))
          let row = (c / block * batch + n) * rows + y + halo
          let at = (row * columns + column + halo) * block + c % block
          (maps[at], want[at]) = (x[i], Self.drop(x[i], at: i))
        }
        let (set, added) = (Guarded(count: count), Guarded(maps))
        withUnsafePointer(to: Self.dropout) {
          lk_f32_dropout_maps(
            threads.pool, $0, batch, channels, height, width, halo, maps, set.floats, false)
          lk_f32_dropout_maps(
            threads.pool, $0, batch, channels, height, width, halo, maps, added.floats, true)
        }
        #expect(set.isIntact && set.values == want, "\(isa), halo \(halo)")
        #expect(
          added.isIntact && added.values == zip(maps, want).map { $0 + $1 },
          "\(isa), halo \(halo)")
      }
    }
  }
}
