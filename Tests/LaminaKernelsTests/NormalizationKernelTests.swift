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

  @Test func momentsOfNumbersFarFromZero() {
    var generator = Generator(seed: 5)
    let (batch, channels, area) = (3, 5, 1000)
    let x = generator.floats(batch * channels * area).map { 1000 + $0 }
    var maps = lk_channel_maps(
      maps: lk_blocked_maps(
        batch: batch, channels: channels, height: 1, width: area, in_halo: 0, out_halo: 0),
      is_blocked: false)
    var want: [Double] = []
    for channel in 0..<channels {
      let values = x.indices.filter { $0 / area % channels == channel }.map { Double(x[$0]) }
      let mean = values.reduce(0, +) / Double(values.count)
      want.append(values.map { ($0 - mean) * ($0 - mean) }.reduce(0, +) / Double(values.count))
    }
    check(channels, want, tolerance: 1e-5, "variance") { pool, y in
      let padded = lk_padded_channels(&maps)
      var mean = [Float](repeating: .nan, count: padded)
      var variance = mean
      var scratch = [Float](repeating: .nan, count: lk_channel_sums_scratch_floats(&maps))
      lk_f32_channel_moments(pool, &maps, x, &mean, &variance, &scratch)
      for channel in 0..<channels { y[channel] = variance[channel] }
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

  /// Blocks of channels with halos: every number within a few units in the last place.
  @Test func blockedMapsAreNormalized() {
    var generator = Generator(seed: 8)
    let threads = TwoThreads()
    let (batch, channels, height, width, inHalo, outHalo) = (2, 37, 5, 19, 2, 1)
    let x = (0..<batch * channels * height * width).map { _ in 30 * generator.float() }
    let scales = generator.floats(channels), shifts = generator.floats(channels)
    let (before, after) = (1, 2)
    var maps = lk_blocked_maps(
      batch: batch, channels: channels, height: height, width: width, in_halo: inHalo,
      out_halo: outHalo)
    withEveryISA { isa in
      let lanes = lk_block_channels(lk_active_isa())
      let blocks = (channels + lanes - 1) / lanes
      /// Where a pixel of a channel lies among those of maps with a halo.
      func place(_ n: Int, _ c: Int, _ i: Int, _ j: Int, _ halo: Int) -> Int {
        let row = ((c / lanes * batch + n) * (height + 2 * halo) + i + halo) * (width + 2 * halo)
        return (row + j + halo) * lanes + c % lanes
      }
      func blocked(_ halo: Int, _ value: (Int, Int, Int, Int) -> Double) -> [Double] {
        let pixels = blocks * batch * (height + 2 * halo) * (width + 2 * halo)
        var y = [Double](repeating: 0, count: pixels * lanes)
        for n in 0..<batch {
          for c in 0..<channels {
            for i in 0..<height {
              for j in 0..<width { y[place(n, c, i, j, halo)] = value(n, c, i, j) }
            }
          }
        }
        return y
      }
      func at(_ n: Int, _ c: Int, _ i: Int, _ j: Int) -> Double {
        Double(x[((n * channels + c) * height + i) * width + j])
      }
      func check(
        _ name: String, _ tolerance: Double, floor: Double = 1e-30, _ want: [Double],
        _ run: (OpaquePointer?, [Float], UnsafeMutablePointer<Float>) -> Void
      ) {
        let input = blocked(inHalo, at).map(Float.init)
        let results = [threads.pool, nil].map { pool in
          let y = Guarded(count: want.count)
          run(pool, input, y.floats)
          #expect(y.isIntact, "\(isa): \(name)")
          return y
        }
        #expect(results[0].bits == results[1].bits, "\(isa): \(name), threads")
        let worst = zip(results[0].values, want).map { value, want in
          abs(Double(value) - want) / max(abs(want), floor)
        }.max()
        #expect(worst ?? 1 <= tolerance, "\(isa): \(name)")
      }
      for (beta, tolerance) in [(0.75, 5e-7), (0.5, 5e-7), (1, 5e-7), (1.5, 3e-6)] {
        let want = blocked(outHalo) { n, c, i, j in
          let sum = (max(0, c - before)...min(channels - 1, c + after)).reduce(0.0) {
            $0 + at(n, $1, i, j) * at(n, $1, i, j)
          }
          return at(n, c, i, j) / pow(0.5 + 0.125 * sum, beta)
        }
        check("lrn \(beta)", tolerance, want) {
          lk_f32_lrn_blocked($0, &maps, $1, $2, before, after, 0.125, Float(beta), 0.5)
        }
      }
      let want = blocked(outHalo) { n, c, i, j in
        at(n, c, i, j) * Double(scales[c]) + Double(shifts[c])
      }
      let missing = [Float](repeating: 0, count: blocks * lanes - channels)
      check("scale and shift", 2e-7, floor: 30, want) {
        lk_f32_scale_shift_blocked($0, &maps, $1, scales + missing, shifts + missing, $2)
      }
    }
  }
}
