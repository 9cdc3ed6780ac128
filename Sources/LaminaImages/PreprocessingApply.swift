import LaminaCore

extension Preprocessing {
  /// The input made of one picture: `float32 [1, channels, height, width]`.
  ///
  /// A crop is computed alone: what lies outside of it costs nothing. Grey is made of the resized colours.
  ///
  /// - Throws: `argument` when a field is impossible or the resized picture is smaller than the crop, `limit`
  ///   when a size is too large or there is no memory.
  public func apply(to image: Image) throws -> Tensor { try apply(to: image.view) }

  /// The input made of `3 · width · height` bytes of RGB, row by row.
  ///
  /// - Throws: as `apply(to:)`; `argument` when the number of bytes is another.
  public func apply(toRGB pixels: UnsafeRawBufferPointer, width: Int, height: Int) throws -> Tensor
  {
    try apply(to: PixelView(pixels, width: width, height: height))
  }

  /// Writes the input made of one picture into `target`: `float32 [1, channels, height, width]`, with or
  /// without the batch axis.
  ///
  /// - Throws: as `apply(to:)`; `shape` when `target` has another shape or type. Nothing is written then.
  public func apply(to image: Image, into target: MutableTensorView) throws {
    try validate()
    let steps = try Steps(self, width: image.width, height: image.height)
    let shape = [channelCount, steps.window.height, steps.window.width]
    guard target.type == .float32,
      target.shape.dimensions == shape || target.shape.dimensions == [1] + shape
    else {
      throw LaminaError(
        .shape,
        "expected float32 \([1] + shape), found \(target.type.rawValue) \(target.shape)")
    }
    write(try steps.apply(to: image.view), to: target.floats)
  }

  private func apply(to picture: PixelView) throws -> Tensor {
    try validate()
    let steps = try Steps(self, width: picture.width, height: picture.height)
    let image = try steps.apply(to: picture)
    let tensor = try Tensor(uninitialized: Shape([1, channelCount, image.height, image.width]))
    tensor.withMutableElements(of: Float.self) { elements in
      if let target = elements.baseAddress { write(image, to: target) }
    }
    return tensor
  }

  private func write(_ image: Image, to target: UnsafeMutablePointer<Float>) {
    let count = image.width * image.height
    image.withPixels { pixels in
      guard let source = pixels.baseAddress else { return }
      for channel in 0..<channelCount {
        let table = (0...255).map { value(of: UInt8($0), channel: channel) }
        let plane = target + channel * count
        table.withUnsafeBufferPointer { table in
          if channelOrder == .gray {
            for i in 0..<count { plane[i] = table[Int(Preprocessing.luma(source + 3 * i))] }
          } else {
            let bytes = source + (channelOrder == .rgb ? channel : 2 - channel)
            for i in 0..<count { plane[i] = table[Int(bytes[3 * i])] }
          }
        }
      }
    }
  }

  /// ITU-R 601 luma in Pillow's fixed-point form: `(19595·R + 38470·G + 7471·B + 2¹⁵) / 2¹⁶`.
  private static func luma(_ pixel: UnsafePointer<UInt8>) -> UInt8 {
    let sum = 19595 * UInt32(pixel[0]) + 38470 * UInt32(pixel[1]) + 7471 * UInt32(pixel[2]) + 0x8000
    return UInt8(truncatingIfNeeded: sum >> 16)
  }
}

/// Resize and crop for pictures of one size.
private struct Steps {
  /// The part of the picture that is resized.
  let source: Rectangle
  let resampling: Resampling
  /// The part of the resized picture that is kept.
  let window: Rectangle

  init(_ preprocessing: Preprocessing, width: Int, height: Int) throws {
    var source = Rectangle(width: width, height: height)
    var size = Preprocessing.Size(height: height, width: width)
    switch preprocessing.resize {
    case .none: break
    case .shorterSide(let side): size = try Geometry.shorterSide(side, width: width, height: height)
    case .exact(let height, let width): size = Preprocessing.Size(height: height, width: width)
    case .cover(let targetHeight, let targetWidth):
      size = Preprocessing.Size(height: targetHeight, width: targetWidth)
      source = Geometry.aspectCrop(to: size, width: width, height: height)
    }
    self.source = source
    resampling = Resampling(
      size: size, interpolation: preprocessing.interpolation, antialias: preprocessing.antialias)
    window = try Geometry.center(preprocessing.centerCrop ?? size, in: size)
    try Image.check(
      width: window.width, height: window.height, limits: Limits(), code: .argument)
  }

  func apply(to picture: PixelView) throws -> Image {
    try resampling.apply(to: picture.cropped(to: source), window: window)
  }
}
