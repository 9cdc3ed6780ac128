import LaminaCore

/// A random change of a picture that keeps its class.
public enum Augmentation: Sendable, Hashable {
  /// Left and right change places, with a chance.
  case horizontalFlip(Double = 0.5)
  /// Top and bottom change places, with a chance.
  case verticalFlip(Double = 0.5)
  /// A window of `size` anywhere in the picture with `padding` black pixels around it (torchvision's `RandomCrop`).
  case randomCrop(Preprocessing.Size, padding: Int = 0)
  /// A part of a share of the picture in `scale` and of an aspect in `ratio`, resized to `size`: ten tries, then the
  /// middle (torchvision's `RandomResizedCrop`; Szegedy et al. 2014).
  case randomResizedCrop(
    Preprocessing.Size, scale: ClosedRange<Double> = 0.08...1,
    ratio: ClosedRange<Double> = 3.0 / 4...4.0 / 3)
  /// A turn by at most so many degrees either way, about the middle.
  case rotation(Double)
  /// Enlarged or reduced about the middle by factors of this range.
  case zoom(ClosedRange<Double>)
  /// Moved by at most these shares of the width and height.
  case translation(x: Double, y: Double)
  /// Factors of 1 ± each number on brightness, contrast and saturation, and a turn of the hue by ± a share of the
  /// circle, in random order (torchvision's `ColorJitter`).
  case colorJitter(
    brightness: Double = 0, contrast: Double = 0, saturation: Double = 0, hue: Double = 0)
  /// `mean + f·(x − mean)` for each channel with f of 1 ± the number (Keras' `RandomContrast`).
  case contrast(Double)
  /// `operations` of 14, each with a magnitude of 0...30 (Cubuk et al. 2019, RandAugment, arXiv:1909.13719).
  case randAugment(operations: Int = 2, magnitude: Int = 9)

  /// - Throws: `argument` for numbers that make no sense.
  public func validate() throws {
    func check(_ isRight: Bool, _ expected: String) throws {
      if !isRight { throw LaminaError(.argument, "expected \(expected), found \(self)") }
    }
    func check(_ size: Preprocessing.Size) throws {
      try Image.check(
        width: size.width, height: size.height, limits: Limits(), code: .argument)
    }
    switch self {
    case .horizontalFlip(let chance), .verticalFlip(let chance):
      try check((0...1).contains(chance), "a chance in 0...1")
    case .randomCrop(let size, let padding):
      try check(size)
      try check((0...1024).contains(padding), "a padding in 0...1024")
    case .randomResizedCrop(let size, let scale, let ratio):
      try check(size)
      try check(
        scale.lowerBound > 0 && scale.upperBound <= 1 && ratio.lowerBound > 0
          && ratio.upperBound.isFinite, "a scale in 0...1 and a ratio above 0")
    case .rotation(let degrees): try check((0...180).contains(degrees), "degrees in 0...180")
    case .zoom(let range):
      try check(range.lowerBound >= 0.05 && range.upperBound <= 20, "factors in 0.05...20")
    case .translation(let x, let y):
      try check((0...1).contains(x) && (0...1).contains(y), "shares in 0...1")
    case .colorJitter(let brightness, let contrast, let saturation, let hue):
      try check(
        [brightness, contrast, saturation].allSatisfy { $0 >= 0 && $0.isFinite }
          && (0...0.5).contains(hue), "factors of at least 0 and a hue in 0...0.5")
    case .contrast(let factor): try check((0...1).contains(factor), "a factor in 0...1")
    case .randAugment(let operations, let magnitude):
      try check(
        (0...16).contains(operations) && (0...30).contains(magnitude),
        "0 to 16 operations of magnitude 0...30")
    }
  }

  /// The changed picture.
  ///
  /// - Throws: `argument` when a window does not fit the picture; `limit`.
  public func apply(to image: Image, _ random: inout SampleRandom) throws -> Image {
    let (width, height) = (image.width, image.height)
    switch self {
    case .horizontalFlip(let chance):
      return random.chance(chance) ? try image.flippedHorizontally() : image
    case .verticalFlip(let chance):
      return random.chance(chance) ? try image.flippedVertically() : image
    case .randomCrop(let size, let padding):
      let padded = padding > 0 ? try image.padded(padding) : image
      guard size.width <= padded.width, size.height <= padded.height else {
        throw LaminaError(
          .argument,
          "expected a window within \(padded.width) x \(padded.height) pixels, found \(size.width) x \(size.height)"
        )
      }
      let y = random.index(below: padded.height - size.height + 1)
      let x = random.index(below: padded.width - size.width + 1)
      return try padded.cropped(x: x, y: y, width: size.width, height: size.height)
    case .randomResizedCrop(let size, let scale, let ratio):
      let part = Self.part(width, height, scale, ratio, &random)
      return try image.cropped(x: part.x, y: part.y, width: part.width, height: part.height)
        .resized(width: size.width, height: size.height)
    case .rotation(let degrees):
      let angle = random.uniform(-degrees...degrees) * .pi / 180
      return try image.transformed(.rotation(angle))
    case .zoom(let range):
      let factor = random.uniform(range)
      return try image.transformed(.scaling(1 / factor, 1 / factor))
    case .translation(let x, let y):
      let dx = (random.uniform(-x...x) * Double(width)).rounded()
      let dy = (random.uniform(-y...y) * Double(height)).rounded()
      return try image.transformed(.translation(-dx, -dy))
    case .colorJitter(let brightness, let contrast, let saturation, let hue):
      var order = [0, 1, 2, 3]
      for last in stride(from: 3, to: 0, by: -1) {
        order.swapAt(last, random.index(below: last + 1))
      }
      func factor(_ spread: Double) -> Double { random.uniform(max(0, 1 - spread)...1 + spread) }
      let factors = [brightness, contrast, saturation].map(factor)
      let turn = random.uniform(-hue...hue)
      var result = image
      for step in order {
        switch step {
        case 0 where brightness > 0: result = try result.brightened(by: factors[0])
        case 1 where contrast > 0: result = try result.contrasted(by: factors[1])
        case 2 where saturation > 0: result = try result.saturated(by: factors[2])
        case 3 where hue > 0: result = try result.hueTurned(by: turn)
        default: break
        }
      }
      return result
    case .contrast(let spread):
      return try image.contrastedByChannel(by: random.uniform(1 - spread...1 + spread))
    case .randAugment(let operations, let magnitude):
      var result = image
      for _ in 0..<operations {
        let operation = RandAugmentOperation.allCases[
          random.index(below: RandAugmentOperation.allCases.count)]
        result = try operation.apply(
          to: result, magnitude: Double(magnitude) / 30, isNegative: random.chance(0.5))
      }
      return result
    }
  }

  /// torchvision's `RandomResizedCrop.get_params`.
  private static func part(
    _ width: Int, _ height: Int, _ scale: ClosedRange<Double>, _ ratio: ClosedRange<Double>,
    _ random: inout SampleRandom
  ) -> Rectangle {
    let area = Double(width * height)
    let logs = logarithm(ratio.lowerBound)...logarithm(ratio.upperBound)
    for _ in 0..<10 {
      let target = area * random.uniform(scale)
      let aspect = exponential(random.uniform(logs))
      let w = Int((target * aspect).squareRoot().rounded())
      let h = Int((target / aspect).squareRoot().rounded())
      if w > 0, w <= width, h > 0, h <= height {
        let y = random.index(below: height - h + 1)
        let x = random.index(below: width - w + 1)
        return Rectangle(x: x, y: y, width: w, height: h)
      }
    }
    let aspect = Double(width) / Double(height)
    var (w, h) = (width, height)
    if aspect < ratio.lowerBound {
      h = min(max(Int((Double(width) / ratio.lowerBound).rounded()), 1), height)
    } else if aspect > ratio.upperBound {
      w = min(max(Int((Double(height) * ratio.upperBound).rounded()), 1), width)
    }
    return Rectangle(x: (width - w) / 2, y: (height - h) / 2, width: w, height: h)
  }
}
