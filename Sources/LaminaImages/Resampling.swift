import LaminaCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

extension Image {
  /// The picture resized to `width` by `height`, equal to the `Image.resize` of Pillow before 13 in every bit.
  ///
  /// `out[x] = Σᵢ in[i] · f((i + ½ − c) / s) / Σᵢ f((i + ½ − c) / s)` with `c = (x + ½) · scale`,
  /// `scale = in / out` and `s = max(scale, 1)`, first along rows, then along columns, each pass with weights
  /// of 22 fractional bits and rounded to 8 bits. (Pillow 13 begins with the columns where the height shrinks
  /// much more than the width, and differs there.) Without `antialias` `s = 1`: the filter does not widen in
  /// a reduction, as in OpenCV and TensorFlow.
  ///
  /// - Throws: `argument` when a side is smaller than 1, `limit` when the result is larger than `Limits`
  ///   allow.
  public func resized(
    width: Int, height: Int, _ interpolation: Preprocessing.Interpolation = .bilinear,
    antialias: Bool = true
  ) throws -> Image {
    try Image.check(width: width, height: height, limits: Limits(), code: .argument)
    let resize = Resampling(
      size: Preprocessing.Size(height: height, width: width), interpolation: interpolation,
      antialias: antialias)
    return try resize.apply(to: view, window: Rectangle(width: width, height: height))
  }
}

/// A resize to `size`, of which any window can be computed alone.
struct Resampling {
  let size: Preprocessing.Size
  let interpolation: Preprocessing.Interpolation
  let antialias: Bool

  /// The part `window` of the resized picture.
  func apply(to source: PixelView, window: Rectangle) throws -> Image {
    if size.width == source.width && size.height == source.height {
      return try copy(source.cropped(to: window))
    }
    guard let filter = Filter(interpolation) else { return try nearest(source, window) }
    let columns = window.x..<window.x + window.width
    let rows = window.y..<window.y + window.height
    let horizontal =
      size.width == source.width
      ? nil : Weights(filter, from: source.width, to: size.width, at: columns, antialias: antialias)
    let vertical =
      size.height == source.height
      ? nil : Weights(filter, from: source.height, to: size.height, at: rows, antialias: antialias)
    let needed = vertical?.sources ?? rows
    var narrowed = source.cropped(
      to: Rectangle(
        x: horizontal == nil ? window.x : 0, y: needed.lowerBound,
        width: horizontal == nil ? window.width : source.width, height: needed.count))
    guard let horizontal else {
      return try pass(window) {
        vertical?.applyVertically(to: narrowed, origin: needed.lowerBound, $0)
      }
    }
    let resized = try Image(width: window.width, height: needed.count) {
      horizontal.applyHorizontally(to: narrowed, $0)
    }
    guard let vertical else { return resized }
    narrowed = resized.view
    return try withExtendedLifetime(resized) {
      try pass(window) { vertical.applyVertically(to: narrowed, origin: needed.lowerBound, $0) }
    }
  }

  private func pass(
    _ window: Rectangle, _ fill: (UnsafeMutablePointer<UInt8>) -> Void
  ) throws -> Image {
    try Image(width: window.width, height: window.height, fill: fill)
  }

  private func copy(_ source: PixelView) throws -> Image {
    try Image(width: source.width, height: source.height) { target in
      for y in 0..<source.height {
        (target + 3 * y * source.width).update(from: source.row(y), count: 3 * source.width)
      }
    }
  }

  private func nearest(_ source: PixelView, _ window: Rectangle) throws -> Image {
    let columns = Resampling.nearestIndices(from: source.width, to: size.width)
    let rows = Resampling.nearestIndices(from: source.height, to: size.height)
    return try Image(width: window.width, height: window.height) {
      var target = $0
      for y in rows[window.y..<window.y + window.height] {
        let row = source.row(y)
        for x in columns[window.x..<window.x + window.width] {
          target[0] = row[3 * x]
          target[1] = row[3 * x + 1]
          target[2] = row[3 * x + 2]
          target += 3
        }
      }
    }
  }

  /// The positions are summed up step by step, as Pillow does: a product would round differently.
  private static func nearestIndices(from source: Int, to target: Int) -> [Int] {
    let scale = Double(source) / Double(target)
    var position = scale * 0.5
    return (0..<target).map { _ in
      defer { position += scale }
      return min(Int(position), source - 1)
    }
  }
}

/// A reconstruction filter and the radius outside of which it is 0.
private struct Filter {
  let support: Double
  let value: (Double) -> Double

  init?(_ interpolation: Preprocessing.Interpolation) {
    switch interpolation {
    case .nearest: return nil
    case .box:
      support = 0.5
      value = { $0 > -0.5 && $0 <= 0.5 ? 1 : 0 }
    case .bilinear:
      support = 1
      value = { max(1 - abs($0), 0) }
    case .bicubic:
      support = 2
      value = { position in
        let a = -0.5
        let x = abs(position)
        if x < 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
        return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0
      }
    case .lanczos:
      support = 3
      value = { -3 <= $0 && $0 < 3 ? Filter.sinc($0) * Filter.sinc($0 / 3) : 0 }
    }
  }

  private static func sinc(_ x: Double) -> Double {
    x == 0 ? 1 : sin(x * .pi) / (x * .pi)
  }
}

/// For each of some positions of a resized axis, the source positions it is made of and their weights.
private struct Weights {
  private static let fractionBits: Int32 = 22
  private static let half: Int32 = 1 << 21

  private var spans: [Range<Int>] = []
  private var values: [Int32] = []
  private let stride: Int

  /// Every source position that is read, from the first to the last.
  var sources: Range<Int> {
    (spans.map(\.lowerBound).min() ?? 0)..<(spans.map(\.upperBound).max() ?? 0)
  }

  init(
    _ filter: Filter, from source: Int, to target: Int, at positions: Range<Int>, antialias: Bool
  ) {
    let scale = Double(source) / Double(target)
    let filterScale = antialias ? max(scale, 1) : 1
    let support = filter.support * filterScale
    stride = Int(support.rounded(.up)) * 2 + 1
    values.reserveCapacity(stride * positions.count)
    for position in positions {
      let center = (Double(position) + 0.5) * scale
      let first = max(Int(center - support + 0.5), 0)
      let end = min(Int(center + support + 0.5), source)
      let weights = (first..<end).map { index in
        filter.value((Double(index) - center + 0.5) * (1 / filterScale))
      }
      let sum = weights.reduce(0, +)
      spans.append(first..<end)
      for weight in weights {
        let scaled = (sum == 0 ? weight : weight / sum) * Double(1 << Weights.fractionBits)
        values.append(Int32(scaled + (scaled < 0 ? -0.5 : 0.5)))
      }
      values.append(contentsOf: repeatElement(0, count: stride - weights.count))
    }
  }

  @inline(__always)
  private static func byte(_ sum: Int32) -> UInt8 {
    UInt8(truncatingIfNeeded: min(max(sum >> fractionBits, 0), 255))
  }

  /// Resizes every row of `source`; `target` is packed.
  func applyHorizontally(to source: PixelView, _ target: UnsafeMutablePointer<UInt8>) {
    values.withUnsafeBufferPointer { values in
      guard let values = values.baseAddress else { return }
      var target = target
      for y in 0..<source.height {
        let row = source.row(y)
        var weights = values
        for span in spans {
          var (r, g, b) = (Weights.half, Weights.half, Weights.half)
          var pixel = row + 3 * span.lowerBound
          for tap in 0..<span.count {
            let weight = weights[tap]
            r &+= Int32(pixel[0]) &* weight
            g &+= Int32(pixel[1]) &* weight
            b &+= Int32(pixel[2]) &* weight
            pixel += 3
          }
          target[0] = Weights.byte(r)
          target[1] = Weights.byte(g)
          target[2] = Weights.byte(b)
          target += 3
          weights += stride
        }
      }
    }
  }

  /// Resizes every column of `source`, whose first row is row `origin` of the axis; `target` is packed.
  func applyVertically(to source: PixelView, origin: Int, _ target: UnsafeMutablePointer<UInt8>) {
    let count = 3 * source.width
    withUnsafeTemporaryAllocation(of: Int32.self, capacity: count) { buffer in
      guard let sums = buffer.baseAddress else { return }
      var target = target
      for (position, span) in spans.enumerated() {
        sums.initialize(repeating: Weights.half, count: count)
        for (tap, y) in span.enumerated() {
          let weight = values[position * stride + tap]
          let row = source.row(y - origin)
          for x in 0..<count { sums[x] &+= Int32(row[x]) &* weight }
        }
        for x in 0..<count { target[x] = Weights.byte(sums[x]) }
        target += count
      }
    }
  }
}
