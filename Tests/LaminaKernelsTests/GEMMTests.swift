import LaminaKernels
import Testing

private struct Product {
  var m: Int
  var n: Int
  var k: Int
  var transposeA = false
  var transposeB = false
  var alpha: Float = 1
  var beta: Float = 0
  /// Floats between the rows beyond those in use.
  var gap = 0

  var lda: Int { (transposeA ? m : k) + gap }
  var ldb: Int { (transposeB ? k : n) + gap }
  var ldc: Int { n + gap }
  var a: [Float]
  var b: [Float]
  var c: [Float]

  init(
    _ m: Int, _ n: Int, _ k: Int, transposeA: Bool = false, transposeB: Bool = false,
    alpha: Float = 1, beta: Float = 0, gap: Int = 0
  ) {
    (self.m, self.n, self.k) = (m, n, k)
    (self.transposeA, self.transposeB) = (transposeA, transposeB)
    (self.alpha, self.beta, self.gap) = (alpha, beta, gap)
    var generator = Generator(seed: UInt64(m * 1_000_000 + n * 1000 + k))
    a = generator.floats((transposeA ? k : m) * ((transposeA ? m : k) + gap))
    b = generator.floats((transposeB ? n : k) * ((transposeB ? k : n) + gap))
    c = beta == 0 ? [] : generator.floats(m * (n + gap))
  }

  func output() -> Guarded { beta == 0 ? Guarded(count: m * ldc) : Guarded(c) }

  /// Compares with sums in double precision and returns the first element that is off.
  func firstError(_ result: [Float], bias: [Float]? = nil) -> String? {
    for i in 0..<m {
      for j in 0..<n {
        var sum = 0.0
        var magnitude = 0.0
        for l in 0..<k {
          let x = Double(transposeA ? a[l * lda + i] : a[i * lda + l])
          let y = Double(transposeB ? b[j * ldb + l] : b[l * ldb + j])
          sum += x * y
          magnitude += abs(x * y)
        }
        sum *= Double(alpha)
        if beta != 0 { sum += Double(beta) * Double(c[i * ldc + j]) }
        if let bias { sum += Double(bias[j]) }
        let found = Double(result[i * ldc + j])
        if !(abs(found - sum) <= tolerance(terms: k, magnitude: magnitude + 2)) {
          return "[\(i), \(j)]: expected \(sum), found \(found)"
        }
      }
    }
    return nil
  }

  func run(_ pool: OpaquePointer?) -> Guarded {
    let out = output()
    let scratch = Guarded(bytes: lk_f32_gemm_scratch_bytes(m, n, k, lk_pool_thread_count(pool)))
    lk_f32_gemm(
      pool, m, n, k, alpha, a, lda, transposeA, b, ldb, transposeB, beta, out.floats, ldc,
      scratch.raw)
    #expect(out.isIntact && scratch.isIntact)
    return out
  }

  func runPacked(_ pool: OpaquePointer?, bias: [Float]?, _ activation: lk_activation) -> Guarded {
    let out = output()
    let scratch = Guarded(
      bytes: lk_f32_gemm_packed_scratch_bytes(m, n, k, lk_pool_thread_count(pool)))
    let packed = Guarded(bytes: lk_f32_gemm_packed_bytes(n, k))
    lk_f32_gemm_pack(n, k, b, ldb, transposeB, packed.raw)
    lk_f32_gemm_packed(
      pool, m, n, k, alpha, a, lda, transposeA, packed.raw, bias, activation, beta, out.floats, ldc,
      scratch.raw)
    #expect(out.isIntact && scratch.isIntact && packed.isIntact)
    return out
  }
}

@Suite struct GEMMTests {
  private let threads = TwoThreads()

  private func check(_ product: Product) {
    let label = "\(product.m)×\(product.n)×\(product.k)"
    withEveryISA { isa in
      let one = product.run(nil)
      #expect(product.firstError(one.values) == nil, "\(isa) \(label)")
      #expect(product.run(threads.pool).bits == one.bits, "\(isa) \(label), two threads")
      let packed = product.runPacked(nil, bias: nil, lk_activation())
      #expect(product.firstError(packed.values) == nil, "\(isa) \(label), packed")
      #expect(
        product.runPacked(threads.pool, bias: nil, lk_activation()).bits == packed.bits,
        "\(isa) \(label), packed, two threads")
    }
  }

  @Test func tailsOfAllSizes() {
    for m in 1...30 { check(Product(m, 37, 5)) }
    for n in 1...70 { check(Product(15, n, 5)) }
    for k in 1...20 { check(Product(7, 18, k)) }
  }

  @Test func transposedOperands() {
    for (m, n, k) in [(1, 1, 1), (1, 50, 40), (50, 1, 40), (17, 33, 65), (20, 20, 20)] {
      check(Product(m, n, k, transposeA: true))
      check(Product(m, n, k, transposeB: true))
      check(Product(m, n, k, transposeA: true, transposeB: true))
    }
  }

  @Test func scalesAndStrides() {
    for gap in [0, 3] {
      check(Product(19, 45, 31, alpha: 0.5, beta: 2, gap: gap))
      check(Product(19, 45, 31, transposeB: true, alpha: -1.5, beta: 1, gap: gap))
      check(Product(1, 45, 31, transposeB: true, alpha: 2, beta: 1, gap: gap))
      check(Product(45, 1, 31, alpha: 2, beta: -1, gap: gap))
    }
  }

  @Test func blocksOfTheDepth() {
    check(Product(40, 70, 700, alpha: 0.5, beta: 0.5))
    check(Product(3, 70, 2100))
    check(Product(130, 300, 330))
  }

  @Test func rowsThatCrowdOneSetOfTheCaches() {
    check(Product(31, 70, 1024, transposeB: true))
    check(Product(50, 1024, 20))
    check(Product(1024, 35, 6, transposeA: true))
  }

  @Test func noDepthLeavesBetaTimesC() {
    withEveryISA { _ in
      let out = Guarded([1, 2, 3, 4, 5, 6])
      let scratch = Guarded(bytes: lk_f32_gemm_scratch_bytes(2, 3, 0, 1))
      lk_f32_gemm(nil, 2, 3, 0, 1, [], 0, false, [], 3, false, 2, out.floats, 3, scratch.raw)
      #expect(out.values == [2, 4, 6, 8, 10, 12])
    }
  }

  @Test func biasAndActivationOfADenseLayer() {
    let product = Product(5, 40, 60, transposeB: true)
    var generator = Generator(seed: 5)
    let bias = generator.floats(40)
    withEveryISA { isa in
      let plain = product.runPacked(nil, bias: bias, lk_activation()).values
      #expect(product.firstError(plain, bias: bias) == nil, "\(isa)")
      let clamp = lk_activation(kind: LK_ACTIVATION_CLAMP, low: 0, high: 1, slope: 0)
      #expect(
        product.runPacked(nil, bias: bias, clamp).values == plain.map { min(max($0, 0), 1) })
      let leaky = lk_activation(kind: LK_ACTIVATION_LEAKY, low: 0, high: 0, slope: 0.25)
      #expect(
        product.runPacked(nil, bias: bias, leaky).values == plain.map { $0 < 0 ? 0.25 * $0 : $0 })
    }
  }

  @Test func notANumberIsNotHidden() {
    withEveryISA { isa in
      var product = Product(2, 33, 4)
      product.a[0] = .nan
      let clamp = lk_activation(kind: LK_ACTIVATION_CLAMP, low: 0, high: 6, slope: 0)
      let result = product.runPacked(nil, bias: nil, clamp).values
      let expected = (0..<66).map { $0 < 33 }
      #expect(result.map(\.isNaN) == expected, "\(isa)")
    }
  }
}
