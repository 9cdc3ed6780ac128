import Foundation
import LaminaKernels
import Testing

private func axis(
  _ input: Int, _ kernel: Int, _ stride: Int, dilation: Int = 1, before: Int = 0, after: Int = 0
) -> lk_window_axis {
  let output = (input + before + after - (kernel - 1) * dilation - 1) / stride + 1
  return lk_window_axis(
    input: input, output: output, kernel: kernel, stride: stride, dilation: dilation,
    before: before, after: after)
}

private let trivial = axis(1, 1, 1)

@Suite struct PoolingKernelTests {
  @Test func divisorsCountTaps() {
    var window = axis(5, 3, 2, before: 1, after: 1)
    var divisors = [Float](repeating: 0, count: window.output)
    lk_window_divisors(&window, false, &divisors)
    #expect(divisors == [2, 3, 2])
    lk_window_divisors(&window, true, &divisors)
    #expect(divisors == [3, 3, 3])
    window = axis(6, 3, 2, dilation: 2, before: 3, after: 2)
    divisors = [Float](repeating: 0, count: window.output)
    lk_window_divisors(&window, false, &divisors)
    #expect(divisors == [1, 2, 3, 2])
  }

  /// Rows wider than a block of columns, on every instruction set, are those of the portable variant.
  @Test(arguments: [1, 2, 3, 7])
  func variantsAgree(_ stride: Int) {
    var generator = Generator(seed: 9)
    let threads = TwoThreads()
    let windows = [
      [trivial, axis(9, 3, stride, before: 1, after: 1), axis(2300, 3, stride, before: 1)],
      [
        axis(4, 2, 1), axis(8, 3, stride, dilation: 2),
        axis(70, 5, stride, dilation: 3, before: 2, after: 7),
      ],
      [trivial, trivial, axis(3000, 1400, stride, before: 200, after: 100)],
    ]
    for axes in windows {
      let planes = 2
      let x = generator.floats(planes * axes.map(\.input).reduce(1, *))
      let count = planes * axes.map(\.output).reduce(1, *)
      let divisors = axes.flatMap { axis in
        var axis = axis
        var divisors = [Float](repeating: 0, count: axis.output)
        lk_window_divisors(&axis, true, &divisors)
        return divisors
      }
      for op in [LK_POOL_MAX, LK_POOL_MIN, LK_POOL_AVERAGE, LK_POOL_LP] {
        var portable: [Float] = []
        withEveryISA { isa in
          let y = Guarded(count: count)
          lk_f32_pool(threads.pool, op, axes, divisors, 2, x, y.floats, planes)
          let alone = Guarded(count: count)
          lk_f32_pool(nil, op, axes, divisors, 2, x, alone.floats, planes)
          #expect(y.isIntact && y.bits == alone.bits, "\(isa): threads")
          if portable.isEmpty { portable = y.values }
          let worst = zip(y.values, portable).map { abs($0 - $1) / max(1, abs($1)) }.max() ?? 0
          #expect(
            worst <= (op == LK_POOL_MAX || op == LK_POOL_MIN ? 0 : 1e-4),
            "\(isa), op \(op.rawValue)")
        }
      }
    }
  }

  /// Blocks of any size, also ones that no vector fills.
  @Test(arguments: [1, 4, 8, 12, 16, 24])
  func blockedMapsPool(_ channels: Int) {
    var generator = Generator(seed: 5)
    let axes = [trivial, axis(6, 3, 2, before: 1, after: 1), axis(9, 3, 2, before: 1, after: 1)]
    let (height, width) = (axes[1].output, axes[2].output)
    for halo in [0, 2] {
      let (inRow, outRow) = ((9 + 2 * halo) * channels, (width + 2 * halo) * channels)
      var x = [Float](repeating: 0, count: 2 * (6 + 2 * halo) * inRow)
      for map in 0..<2 {
        for row in 0..<6 {
          for i in 0..<9 * channels {
            x[(map * (6 + 2 * halo) + row + halo) * inRow + halo * channels + i] = generator.float()
          }
        }
      }
      withEveryISA { isa in
        let y = Guarded(count: 2 * (height + 2 * halo) * outRow)
        lk_f32_pool_blocked(nil, LK_POOL_MAX, axes, nil, channels, halo, halo, x, y.floats, 2)
        #expect(y.isIntact)
        var want = [Float](repeating: 0, count: y.count)
        for map in 0..<2 {
          for (row, column, c) in (0..<height).flatMap({ r in
            (0..<width).flatMap { w in (0..<channels).map { (r, w, $0) } }
          }) {
            var best = -Float.infinity
            for i in max(0, 2 * row - 1)...min(5, 2 * row + 1) {
              for j in max(0, 2 * column - 1)...min(8, 2 * column + 1) {
                best = max(
                  best, x[(map * (6 + 2 * halo) + i + halo) * inRow + (j + halo) * channels + c])
              }
            }
            want[
              (map * (height + 2 * halo) + row + halo) * outRow + (column + halo) * channels + c] =
              best
          }
        }
        #expect(y.values == want, "\(isa), halo \(halo)")
      }
    }
  }
}
