import LaminaCore

extension Image {
  /// The picture resized so that its shorter side is `side`; the longer one is
  /// `⌊side · longer / shorter⌋` (torchvision's `Resize(Int)`).
  ///
  /// - Throws: `argument`, `limit` as `resized(width:height:)`.
  public func resized(
    shorterSide side: Int, _ interpolation: Preprocessing.Interpolation = .bilinear,
    antialias: Bool = true
  ) throws -> Image {
    let size = try Geometry.shorterSide(side, width: width, height: height)
    return try resized(
      width: size.width, height: size.height, interpolation, antialias: antialias)
  }

  /// The rectangle of `width` by `height` pixels whose upper left corner is at `x`, `y`.
  ///
  /// - Throws: `argument` when it does not lie within the picture.
  public func cropped(x: Int, y: Int, width: Int, height: Int) throws -> Image {
    guard x >= 0, y >= 0, width > 0, height > 0, width <= self.width, height <= self.height,
      x <= self.width - width, y <= self.height - height
    else {
      throw LaminaError(
        .argument,
        "expected a rectangle within \(self.width) x \(self.height) pixels, "
          + "found \(width) x \(height) at (\(x), \(y))")
    }
    return try copy(of: Rectangle(x: x, y: y, width: width, height: height))
  }

  /// The `width` by `height` pixels in the middle; half a pixel is rounded to even (torchvision's
  /// `CenterCrop`).
  ///
  /// - Throws: `argument` when the picture is smaller.
  public func centerCropped(width: Int, height: Int) throws -> Image {
    try copy(
      of: Geometry.center(
        Preprocessing.Size(height: height, width: width),
        in: Preprocessing.Size(height: self.height, width: self.width)))
  }

  private func copy(of rectangle: Rectangle) throws -> Image {
    let part = view.cropped(to: rectangle)
    return try Resampling(
      size: Preprocessing.Size(height: part.height, width: part.width), interpolation: .nearest,
      antialias: false
    ).apply(to: part, window: Rectangle(width: part.width, height: part.height))
  }
}

/// Sizes and places, by the rules of the frameworks that models come from.
enum Geometry {
  /// torchvision's `Resize(Int)`.
  static func shorterSide(_ side: Int, width: Int, height: Int) throws -> Preprocessing.Size {
    let (product, overflow) = side.multipliedReportingOverflow(by: max(width, height))
    let longer = overflow ? Int.max : product / min(width, height)
    let size =
      width <= height
      ? Preprocessing.Size(height: longer, width: side)
      : Preprocessing.Size(height: side, width: longer)
    try Image.check(width: size.width, height: size.height, limits: Limits(), code: .argument)
    return size
  }

  /// torchvision's `CenterCrop`: `round((outer − inner) / 2)`, halves to even.
  static func center(_ inner: Preprocessing.Size, in outer: Preprocessing.Size) throws -> Rectangle
  {
    guard inner.width > 0, inner.height > 0, inner.width <= outer.width,
      inner.height <= outer.height
    else {
      throw LaminaError(
        .argument,
        "expected a crop within \(outer.width) x \(outer.height) pixels, "
          + "found \(inner.width) x \(inner.height)")
    }
    func offset(_ margin: Int) -> Int { margin / 2 + (margin % 4 == 3 ? 1 : 0) }
    return Rectangle(
      x: offset(outer.width - inner.width), y: offset(outer.height - inner.height),
      width: inner.width, height: inner.height)
  }

  /// Keras' `crop_to_aspect_ratio`: the largest rectangle of the aspect ratio of `target` in the middle of a
  /// picture, rounded down.
  static func aspectCrop(to target: Preprocessing.Size, width: Int, height: Int) -> Rectangle {
    let cropWidth = max(min(height * target.width / target.height, width), 1)
    let cropHeight = max(min(width * target.height / target.width, height), 1)
    return Rectangle(
      x: (width - cropWidth) / 2, y: (height - cropHeight) / 2, width: cropWidth, height: cropHeight
    )
  }
}
