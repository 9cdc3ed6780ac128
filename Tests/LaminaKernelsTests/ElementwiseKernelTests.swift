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
}
