import LaminaCore

extension Image {
  /// Every byte through a function of it, whose results are rounded and kept in 0...255.
  private func mapped(_ function: (_ value: Double, _ channel: Int) -> Double) throws -> Image {
    let tables = (0..<3).map { channel in
      (0...255).map { UInt8(min(max(function(Double($0), channel), 0), 255).rounded()) }
    }
    return try Image(width: width, height: height) { target in
      withPixels { pixels in
        for place in pixels.indices { target[place] = tables[place % 3][Int(pixels[place])] }
      }
    }
  }

  /// Grey of a pixel by ITU-R 601, 0...255.
  private static func luma(_ r: UInt8, _ g: UInt8, _ b: UInt8) -> Double {
    0.299 * Double(r) + 0.587 * Double(g) + 0.114 * Double(b)
  }

  /// `x·factor`.
  package func brightened(by factor: Double) throws -> Image {
    try mapped { value, _ in value * factor }
  }

  /// `grey + (x − grey)·factor` with the mean grey of the picture.
  package func contrasted(by factor: Double) throws -> Image {
    let sum = withPixels { pixels in
      stride(from: 0, to: pixels.count, by: 3).reduce(0) {
        $0 + Self.luma(pixels[$1], pixels[$1 + 1], pixels[$1 + 2])
      }
    }
    let mean = sum / Double(width * height)
    return try mapped { value, _ in mean + (value - mean) * factor }
  }

  /// The same with the mean of each channel.
  package func contrastedByChannel(by factor: Double) throws -> Image {
    var sums = [0.0, 0.0, 0.0]
    withPixels { pixels in for place in pixels.indices { sums[place % 3] += Double(pixels[place]) }
    }
    let means = sums.map { $0 / Double(width * height) }
    return try mapped { value, channel in means[channel] + (value - means[channel]) * factor }
  }

  /// `grey + (x − grey)·factor` with the grey of each pixel.
  package func saturated(by factor: Double) throws -> Image {
    try Image(width: width, height: height) { target in
      withPixels { pixels in
        for place in stride(from: 0, to: pixels.count, by: 3) {
          let grey = Self.luma(pixels[place], pixels[place + 1], pixels[place + 2])
          for channel in place..<place + 3 {
            let value = grey + (Double(pixels[channel]) - grey) * factor
            target[channel] = UInt8(min(max(value, 0), 255).rounded())
          }
        }
      }
    }
  }

  /// The hue turned by a share of the circle, saturation and value kept.
  package func hueTurned(by share: Double) throws -> Image {
    try Image(width: width, height: height) { target in
      withPixels { pixels in
        for place in stride(from: 0, to: pixels.count, by: 3) {
          let (r, g, b) = (
            Double(pixels[place]), Double(pixels[place + 1]), Double(pixels[place + 2])
          )
          let (most, least) = (max(r, g, b), min(r, g, b))
          let chroma = most - least
          guard chroma > 0 else {
            for channel in 0..<3 { target[place + channel] = pixels[place + channel] }
            continue
          }
          var hue =
            most == r ? (g - b) / chroma : most == g ? 2 + (b - r) / chroma : 4 + (r - g) / chroma
          hue = (hue / 6 + share)
          hue -= hue.rounded(.down)
          for (channel, shift) in [5.0, 3, 1].enumerated() {
            let k = (shift + 6 * hue).truncatingRemainder(dividingBy: 6)
            let value = most - chroma * max(0, min(k, 4 - k, 1))
            target[place + channel] = UInt8(min(max(value, 0), 255).rounded())
          }
        }
      }
    }
  }

  /// `x + (x − smoothed x)·(factor − 1)`, the border kept: 1 leaves the picture, 0 smooths it. The filter has 5 in the
  /// middle and 1 around, over 13, as Pillow's `SMOOTH`.
  package func sharpened(by factor: Double) throws -> Image {
    try Image(width: width, height: height) { target in
      withPixels { pixels in
        for y in 0..<height {
          for x in 0..<width {
            for channel in 0..<3 {
              let place = 3 * (y * width + x) + channel
              let value = Double(pixels[place])
              guard x > 0, y > 0, x < width - 1, y < height - 1 else {
                target[place] = pixels[place]
                continue
              }
              var sum = 4 * value
              for dy in -1...1 {
                for dx in -1...1 { sum += Double(pixels[place + 3 * (dy * width + dx)]) }
              }
              let smooth = sum / 13
              let result = smooth + (value - smooth) * factor
              target[place] = UInt8(min(max(result, 0), 255).rounded())
            }
          }
        }
      }
    }
  }

  /// The upper `bits` of every byte.
  package func posterized(bits: Int) throws -> Image {
    let mask = 0xFF << (8 - min(max(bits, 0), 8)) & 0xFF
    return try mapped { value, _ in Double(Int(value) & mask) }
  }

  /// Bytes from `threshold` on as 255 − x.
  package func solarized(from threshold: Double) throws -> Image {
    try mapped { value, _ in value >= threshold ? 255 - value : value }
  }

  /// Each channel stretched so that its darkest byte is 0 and its brightest 255.
  package func autoContrasted() throws -> Image {
    var (least, most) = ([255.0, 255, 255], [0.0, 0, 0])
    withPixels { pixels in
      for place in pixels.indices {
        least[place % 3] = min(least[place % 3], Double(pixels[place]))
        most[place % 3] = max(most[place % 3], Double(pixels[place]))
      }
    }
    return try mapped { value, channel in
      most[channel] > least[channel]
        ? (value - least[channel]) * 255 / (most[channel] - least[channel]) : value
    }
  }

  /// Each channel with a level histogram, as Pillow's `equalize`.
  package func equalized() throws -> Image {
    var counts = [[Int]](repeating: [Int](repeating: 0, count: 256), count: 3)
    withPixels { pixels in
      for place in pixels.indices { counts[place % 3][Int(pixels[place])] += 1 }
    }
    let tables = counts.map { counts -> [Double] in
      let total = counts.reduce(0, +)
      let step = (total - (counts.last { $0 > 0 } ?? 0)) / 255
      guard step > 0 else { return (0...255).map(Double.init) }
      var sum = step / 2
      return counts.map { count in
        defer { sum += count }
        return Double(min(sum / step, 255))
      }
    }
    return try mapped { value, channel in tables[channel][Int(value)] }
  }
}

/// What RandAugment chooses from, with torchvision's ranges of magnitudes.
package enum RandAugmentOperation: CaseIterable {
  case identity, shearX, shearY, translateX, translateY, rotate, brightness, color, contrast
  case sharpness, posterize, solarize, autoContrast, equalize

  /// - Parameter magnitude: 0...1.
  package func apply(to image: Image, magnitude: Double, isNegative: Bool) throws -> Image {
    let signed = isNegative ? -magnitude : magnitude
    switch self {
    case .identity: return image
    case .shearX: return try image.transformed(.shear(x: 0.3 * signed))
    case .shearY: return try image.transformed(.shear(y: 0.3 * signed))
    case .translateX:
      let distance = (150.0 / 331 * Double(image.width) * signed).rounded(.towardZero)
      return try image.transformed(.translation(-distance, 0))
    case .translateY:
      let distance = (150.0 / 331 * Double(image.height) * signed).rounded(.towardZero)
      return try image.transformed(.translation(0, -distance))
    case .rotate: return try image.transformed(.rotation(30 * signed * .pi / 180))
    case .brightness: return try image.brightened(by: 1 + 0.9 * signed)
    case .color: return try image.saturated(by: 1 + 0.9 * signed)
    case .contrast: return try image.contrasted(by: 1 + 0.9 * signed)
    case .sharpness: return try image.sharpened(by: 1 + 0.9 * signed)
    case .posterize: return try image.posterized(bits: 8 - Int((4 * magnitude).rounded()))
    case .solarize: return try image.solarized(from: 255 * (1 - magnitude))
    case .autoContrast: return try image.autoContrasted()
    case .equalize: return try image.equalized()
    }
  }
}
