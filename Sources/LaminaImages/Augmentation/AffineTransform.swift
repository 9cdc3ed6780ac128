import LaminaCore

/// Where a pixel of the result comes from: `source = M·(target − middle) + offset + middle`.
package struct AffineTransform: Hashable {
  package var xx = 1.0
  package var xy = 0.0
  package var yx = 0.0
  package var yy = 1.0
  package var x = 0.0
  package var y = 0.0

  /// A turn by `angle` radians, counterclockwise as one sees it.
  package static func rotation(_ angle: Double) -> AffineTransform {
    AffineTransform(xx: cosine(angle), xy: -sine(angle), yx: sine(angle), yy: cosine(angle))
  }

  /// Distances in the source for one pixel of the result.
  package static func scaling(_ x: Double, _ y: Double) -> AffineTransform {
    AffineTransform(xx: x, yy: y)
  }

  /// The source lies this far to the right and below.
  package static func translation(_ x: Double, _ y: Double) -> AffineTransform {
    AffineTransform(x: x, y: y)
  }

  /// Slanted along an axis.
  package static func shear(x: Double = 0, y: Double = 0) -> AffineTransform {
    AffineTransform(xy: x, yx: y)
  }
}

extension Image {
  /// The picture through an affine map of its coordinates about its middle, size kept: between pixels by two linear
  /// steps, black outside.
  package func transformed(_ transform: AffineTransform) throws -> Image {
    let (middleX, middleY) = (Double(width - 1) / 2, Double(height - 1) / 2)
    return try Image(width: width, height: height) { target in
      withPixels { source in
        func pixel(_ x: Int, _ y: Int, _ channel: Int) -> Double {
          guard x >= 0, y >= 0, x < width, y < height else { return 0 }
          return Double(source[3 * (y * width + x) + channel])
        }
        for row in 0..<height {
          for column in 0..<width {
            let (dx, dy) = (Double(column) - middleX, Double(row) - middleY)
            let x = transform.xx * dx + transform.xy * dy + transform.x + middleX
            let y = transform.yx * dx + transform.yy * dy + transform.y + middleY
            let place = target + 3 * (row * width + column)
            guard x > -1, y > -1, x < Double(width), y < Double(height) else {
              for channel in 0..<3 { place[channel] = 0 }
              continue
            }
            let (left, top) = (x.rounded(.down), y.rounded(.down))
            let (fx, fy) = (x - left, y - top)
            let (x0, y0) = (Int(left), Int(top))
            for channel in 0..<3 {
              let above =
                pixel(x0, y0, channel) * (1 - fx) + pixel(x0 + 1, y0, channel) * fx
              let below =
                pixel(x0, y0 + 1, channel) * (1 - fx) + pixel(x0 + 1, y0 + 1, channel) * fx
              place[channel] = UInt8((above * (1 - fy) + below * fy).rounded())
            }
          }
        }
      }
    }
  }

  /// Left and right exchanged.
  package func flippedHorizontally() throws -> Image {
    try rearranged { x, y in (width - 1 - x, y) }
  }

  /// Top and bottom exchanged.
  package func flippedVertically() throws -> Image {
    try rearranged { x, y in (x, height - 1 - y) }
  }

  private func rearranged(_ source: (_ x: Int, _ y: Int) -> (Int, Int)) throws -> Image {
    try Image(width: width, height: height) { target in
      withPixels { pixels in
        for y in 0..<height {
          for x in 0..<width {
            let (fromX, fromY) = source(x, y)
            for channel in 0..<3 {
              target[3 * (y * width + x) + channel] =
                pixels[3 * (fromY * width + fromX) + channel]
            }
          }
        }
      }
    }
  }

  /// The picture with so many black pixels on every side.
  package func padded(_ border: Int) throws -> Image {
    let (outerWidth, outerHeight) = (width + 2 * border, height + 2 * border)
    try Image.check(width: outerWidth, height: outerHeight, limits: Limits(), code: .limit)
    return try Image(width: outerWidth, height: outerHeight) { target in
      target.update(repeating: 0, count: 3 * outerWidth * outerHeight)
      withPixels { pixels in
        for y in 0..<height {
          guard let row = pixels.baseAddress else { return }
          (target + 3 * ((y + border) * outerWidth + border)).update(
            from: row + 3 * y * width, count: 3 * width)
        }
      }
    }
  }
}
