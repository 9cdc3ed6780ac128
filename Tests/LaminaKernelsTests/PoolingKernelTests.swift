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

  /// Windows of 2×2 that do not overlap, in rows of any width, are those of a plain loop tap by tap;
  /// so are their gradients, added or written. The last windows of some leave the plane.
  @Test(arguments: [LK_POOL_MAX.rawValue, LK_POOL_AVERAGE.rawValue])
  func squares(_ operation: lk_pooling.RawValue) {
    let threads = TwoThreads()
    for width in 1...40 {
      for height in [1, 2, 5] {
        for rounded in [0, 1] {
          let planes = SquarePlanes(height: height, width: width, rounded: rounded)
          planes.check(lk_pooling(operation), nil)
          planes.check(lk_pooling(operation), threads.pool)
        }
      }
    }
    SquarePlanes(count: 192, height: 29, width: 28, rounded: 0)
      .check(lk_pooling(operation), threads.pool)
  }

  /// Windows over blocks of any size, also ones that no vector fills, with a NaN among the numbers.
  @Test(arguments: [1, 4, 8, 12, 16, 24])
  func blockedMapsPool(_ channels: Int) {
    let windows = [
      axis(6, 3, 2, before: 1, after: 1), axis(17, 3, 1, before: 1, after: 1),
      axis(23, 3, 2, before: 1, after: 2), axis(16, 2, 2), axis(15, 2, 1, before: 1),
      axis(19, 3, 3), axis(21, 5, 2, before: 2, after: 2), axis(18, 3, 2, dilation: 2, before: 1),
    ]
    let threads = TwoThreads()
    for (index, width) in windows.enumerated() {
      for (halo, outHalo) in [(0, 1), (2, 0)] {
        let height = windows[(index + 3) % windows.count]
        let map = BlockedWindows(
          height: height, width: width, channels: channels, halo: halo, outHalo: outHalo)
        for op in [LK_POOL_MAX, LK_POOL_AVERAGE] {
          let want = map.expected(op)
          withEveryISA { isa in
            let y = map.run(threads.pool, op)
            #expect(y.isIntact && y.bits == map.run(nil, op).bits, "\(isa): threads")
            let isRight = zip(y.values, want).allSatisfy { value, want in
              want.isNaN
                ? value.isNaN : op == LK_POOL_MAX ? value == want : abs(value - want) < 1e-6
            }
            #expect(isRight, "\(isa), \(width), halos \(halo) and \(outHalo), op \(op.rawValue)")
          }
        }
      }
    }
  }
}

/// Planes with ties, zeros of both signs, infinities and NaN under windows of 2×2 with stride 2, whose
/// number is rounded down or up.
private struct SquarePlanes {
  let count: Int
  let axes: [lk_window_axis]
  let x: [Float]
  let dy: [Float]
  let before: [Float]
  let divisors: [Float]

  init(count: Int = 3, height: Int, width: Int, rounded: Int) {
    self.count = count
    axes = [trivial] + [height, width].map { axis($0, 2, 2, after: rounded) }
    var generator = Generator(seed: UInt64(height * 100 + width))
    let specials: [Float] = [0, -0.0, 1, 1, -1, .infinity, -.infinity, .nan]
    var x = generator.floats(count * height * width)
    for i in x.indices where generator.integer(0...1) == 0 {
      x[i] = specials[generator.integer(0...7)]
    }
    self.x = x
    before = generator.floats(x.count)
    dy = generator.floats(count * axes[1].output * axes[2].output)
    divisors = axes.flatMap { axis in
      var axis = axis
      var divisors = [Float](repeating: 0, count: axis.output)
      lk_window_divisors(&axis, false, &divisors)
      return divisors
    }
  }

  func check(_ op: lk_pooling, _ pool: OpaquePointer?) {
    let (want, gradient) = expected(op)
    let label = "\(axes[1].input)×\(axes[2].input) to \(axes[2].output), op \(op.rawValue)"
    withEveryISA { isa in
      let y = Guarded(count: dy.count)
      lk_f32_pool(pool, op, axes, divisors, 1, x, y.floats, count)
      #expect(y.isIntact && areSame(y.values, want), "\(isa), \(label)")
      for sets in [false, true] {
        let dx = sets ? Guarded(count: x.count) : Guarded(before)
        lk_f32_pool_gradient(
          pool, op, axes, divisors, 1, x, y.floats, dy, dx.floats, sets, count)
        let want = zip(before, gradient).map { sets ? $1 : $0 + $1 }
        #expect(dx.isIntact && areSame(dx.values, want), "\(isa), \(label), sets \(sets)")
      }
    }
  }

  private func areSame(_ a: [Float], _ b: [Float]) -> Bool {
    zip(a, b).allSatisfy { $0 == $1 || $0.isNaN && $1.isNaN || abs($0 - $1) < 1e-6 }
  }

  /// Results and gradient; of equal taps the first row's first gets it, of NaN the first NaN.
  private func expected(_ op: lk_pooling) -> (y: [Float], dx: [Float]) {
    let (rows, columns) = (axes[1].input, axes[2].input)
    var y: [Float] = []
    var dx = [Float](repeating: 0, count: x.count)
    for plane in 0..<count {
      for i in 0..<axes[1].output {
        for j in 0..<axes[2].output {
          let taps = (2 * i..<min(2 * i + 2, rows)).flatMap { row in
            (2 * j..<min(2 * j + 2, columns)).map { (plane * rows + row) * columns + $0 }
          }
          let values = taps.map { x[$0] }
          let share = dy[y.count]
          if op == LK_POOL_AVERAGE {
            y.append(values.reduce(0, +) / Float(taps.count))
            for tap in taps { dx[tap] = share / Float(taps.count) }
          } else if let most = values.contains(where: \.isNaN) ? Float.nan : values.max(),
            let tap = taps.first(where: { x[$0] == most || x[$0].isNaN })
          {
            y.append(most)
            dx[tap] = share
          }
        }
      }
    }
    return (y, dx)
  }
}

/// Two blocked maps with a halo, and windows over them.
private struct BlockedWindows {
  let height: lk_window_axis
  let width: lk_window_axis
  let channels: Int
  let halo: Int
  let outHalo: Int
  let x: [Float]
  let divisors: [Float]
  static let maps = 2

  init(height: lk_window_axis, width: lk_window_axis, channels: Int, halo: Int, outHalo: Int) {
    (self.height, self.width, self.channels) = (height, width, channels)
    (self.halo, self.outHalo) = (halo, outHalo)
    var generator = Generator(seed: 5)
    let row = width.input + 2 * halo
    var x = [Float](
      repeating: 0, count: Self.maps * (height.input + 2 * halo) * row * channels)
    for map in 0..<Self.maps {
      for i in 0..<height.input {
        let start = ((map * (height.input + 2 * halo) + i + halo) * row + halo) * channels
        for j in 0..<width.input * channels { x[start + j] = generator.float() }
      }
    }
    x[((2 + halo) * row + 3 + halo) * channels] = .nan
    self.x = x
    divisors = [trivial, height, width].flatMap { axis in
      var axis = axis
      var divisors = [Float](repeating: 0, count: axis.output)
      lk_window_divisors(&axis, false, &divisors)
      return divisors
    }
  }

  func run(_ pool: OpaquePointer?, _ op: lk_pooling) -> Guarded {
    let y = Guarded(
      count: Self.maps * (height.output + 2 * outHalo) * (width.output + 2 * outHalo) * channels)
    lk_f32_pool_blocked(
      pool, op, [trivial, height, width], divisors, channels, halo, outHalo, x, y.floats, Self.maps)
    return y
  }

  /// Tap by tap, in double precision.
  func expected(_ op: lk_pooling) -> [Float] {
    let (row, outRow) = (width.input + 2 * halo, width.output + 2 * outHalo)
    var y = [Float](
      repeating: 0, count: Self.maps * (height.output + 2 * outHalo) * outRow * channels)
    for map in 0..<Self.maps {
      for i in 0..<height.output {
        for j in 0..<width.output {
          for c in 0..<channels {
            let taps = Self.taps(height, i).flatMap { r in
              Self.taps(width, j).map { q in
                Double(
                  x[((map * (height.input + 2 * halo) + r + halo) * row + q + halo) * channels + c])
              }
            }
            let sum = taps.reduce(0, +)
            let result =
              op == LK_POOL_AVERAGE
              ? sum / Double(max(taps.count, 1))
              : sum.isNaN ? .nan : taps.reduce(-.infinity, max)
            let at = (map * (height.output + 2 * outHalo) + i + outHalo) * outRow + j + outHalo
            y[at * channels + c] = Float(result)
          }
        }
      }
    }
    return y
  }

  /// Where in the input the taps of an output lie.
  private static func taps(_ axis: lk_window_axis, _ output: Int) -> [Int] {
    (0..<axis.kernel).map { output * axis.stride + $0 * axis.dilation - axis.before }
      .filter { (0..<axis.input).contains($0) }
  }
}
