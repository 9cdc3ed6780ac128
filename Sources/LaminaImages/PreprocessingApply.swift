import LaminaCore

extension Preprocessing {
  /// The input made of one picture, `float32 [1, channels, height, width]`.
  ///
  /// - Throws: `argument` when a field or a size is impossible, `limit` when there is no memory.
  public func apply(to image: Image) throws -> Tensor {
    try validate()
    let tensor = try Tensor(uninitialized: inputShape(width: image.width, height: image.height))
    try tensor.withMutableBytes { bytes in
      guard let base = bytes.baseAddress else { return }
      try apply(to: image, into: MutableTensorView(tensor.shape, .float32, base))
    }
    return tensor
  }

  /// Writes the input made of one picture into `target`: `float32`, of the shape `inputShape(width:height:)`
  /// with or without its batch axis.
  ///
  /// - Throws: as `apply(to:)`; `shape` when `target` has another shape or type. Nothing is written then.
  public func apply(to image: Image, into target: MutableTensorView) throws {
    try apply(to: image.view, into: target)
  }

  /// Writes the input made of `3 · width · height` bytes of RGB into `target`.
  ///
  /// - Throws: as `apply(to:into:)`; `argument` when the number of bytes is another.
  public func apply(
    toRGB pixels: UnsafeRawBufferPointer, width: Int, height: Int, into target: MutableTensorView
  ) throws {
    try apply(to: PixelView(pixels, width: width, height: height), into: target)
  }

  /// Shape of the input made of a picture of this size: `[1, channels, height, width]`.
  ///
  /// - Throws: `argument` when a size is impossible.
  public func inputShape(width: Int, height: Int) throws -> Shape {
    let size = try centerCrop ?? resizedSize(width: width, height: height)
    return try Shape([1, channelCount, size.height, size.width])
  }

  private func resizedSize(width: Int, height: Int) throws -> Size {
    switch resize {
    case .none: Size(height: height, width: width)
    case .exact(let height, let width), .cover(let height, let width):
      Size(height: height, width: width)
    case .shorterSide(let side): try Geometry.shorterSide(side, width: width, height: height)
    }
  }

  private func apply(to picture: PixelView, into target: MutableTensorView) throws {
    try validate()
    let shape = try inputShape(width: picture.width, height: picture.height)
    guard target.type == .float32,
      target.shape == shape || target.shape.dimensions == Array(shape.dimensions.dropFirst())
    else {
      throw LaminaError(
        .shape,
        "expected float32 \(shape), found \(target.type.rawValue) \(target.shape)")
    }
    let image = try resizedAndCropped(picture)
    write(image, to: target.floats)
  }

  private func resizedAndCropped(_ picture: PixelView) throws -> Image {
    var source = picture
    let size = try resizedSize(width: picture.width, height: picture.height)
    if case .cover = resize {
      source = picture.cropped(
        to: Geometry.aspectCrop(to: size, width: picture.width, height: picture.height))
    }
    let window = try Geometry.center(centerCrop ?? size, in: size)
    return try Resampling(size: size, interpolation: interpolation, antialias: antialias)
      .apply(to: source, window: window)
  }

  private func write(_ image: Image, to target: UnsafeMutablePointer<Float>) {
    let tables = (0..<channelCount).map { channel in
      (0...255).map { value(of: UInt8($0), channel: channel) }
    }
    let count = image.width * image.height
    let source = image.view.base
    for (channel, table) in tables.enumerated() {
      let first = target + channel * count
      table.withUnsafeBufferPointer { table in
        if channelOrder == .gray {
          for i in 0..<count { first[i] = table[Int(Preprocessing.luma(source + 3 * i))] }
        } else {
          let bytes = source + (channelOrder == .rgb ? channel : 2 - channel)
          for i in 0..<count { first[i] = table[Int(bytes[3 * i])] }
        }
      }
    }
    withExtendedLifetime(image) {}
  }

  /// ITU-R 601 luma in Pillow's fixed-point form: `(19595·R + 38470·G + 7471·B + 2¹⁵) / 2¹⁶`.
  private static func luma(_ pixel: UnsafePointer<UInt8>) -> UInt8 {
    let sum = 19595 * UInt32(pixel[0]) + 38470 * UInt32(pixel[1]) + 7471 * UInt32(pixel[2]) + 0x8000
    return UInt8(truncatingIfNeeded: sum >> 16)
  }
}
