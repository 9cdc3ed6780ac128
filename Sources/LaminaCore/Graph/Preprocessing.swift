/// How a picture becomes a model's input: resize → crop → reorder channels → `(x · scale − mean) / std`.
///
/// Stored with the model, so that every caller, in any language, hands over a picture and gets the right
/// input. `LaminaImages` applies it.
public struct Preprocessing: Sendable, Hashable {
  /// How the picture gets its size before cropping.
  public enum Resize: Sendable, Hashable {
    /// Keep the size.
    case none
    /// Scale so that the shorter side has this many pixels, the aspect kept (torchvision's `Resize(n)`).
    case shorterSide(Int)
    /// Scale to exactly height × width, the aspect not kept.
    case exact(height: Int, width: Int)
    /// Cut the middle of the aspect height : width, as large as it gets, then scale it to height × width
    /// (Keras' `crop_to_aspect_ratio`).
    case cover(height: Int, width: Int)
  }

  /// The resampling filter; all but `nearest` average over the source area when they shrink, unless
  /// `antialias` is off.
  public enum Interpolation: String, Sendable, CaseIterable {
    case nearest, bilinear, bicubic, box, lanczos
  }

  /// The order of the channels in the input.
  public enum ChannelOrder: String, Sendable, CaseIterable {
    case rgb, bgr
    /// One channel, ITU-R 601 luma as in Pillow's mode `L`.
    case gray
  }

  /// A size in pixels.
  public struct Size: Sendable, Hashable {
    /// Rows.
    public var height: Int
    /// Columns.
    public var width: Int

    /// A size.
    public init(height: Int, width: Int) {
      self.height = height
      self.width = width
    }
  }

  /// The first step.
  public var resize: Resize
  /// The filter of the resize.
  public var interpolation: Interpolation
  /// Whether shrinking averages over the source area, as Pillow does.
  public var antialias: Bool
  /// Size of the middle part that is kept; nil keeps all.
  public var centerCrop: Size?
  /// Order of the channels.
  public var channelOrder: ChannelOrder
  /// Factor on the 0…255 values, before the mean is taken off.
  public var scale: Float
  /// Taken off each channel, in channel order; one or as many as channels.
  public var mean: [Float]
  /// Divides each channel, in channel order; one or as many as channels.
  public var std: [Float]

  /// A recipe; by default torchvision's for ImageNet.
  public init(
    resize: Resize = .shorterSide(256), interpolation: Interpolation = .bilinear,
    antialias: Bool = true, centerCrop: Size? = Size(height: 224, width: 224),
    channelOrder: ChannelOrder = .rgb, scale: Float = 1 / 255,
    mean: [Float] = [0.485, 0.456, 0.406], std: [Float] = [0.229, 0.224, 0.225]
  ) {
    self.resize = resize
    self.interpolation = interpolation
    self.antialias = antialias
    self.centerCrop = centerCrop
    self.channelOrder = channelOrder
    self.scale = scale
    self.mean = mean
    self.std = std
  }

  /// Channels of the input.
  public var channelCount: Int { channelOrder == .gray ? 1 : 3 }

  /// Size of the input where the recipe fixes it.
  public var outputSize: Size? {
    if let centerCrop { return centerCrop }
    switch resize {
    case .exact(let height, let width), .cover(let height, let width):
      return Size(height: height, width: width)
    case .none, .shorterSide: return nil
    }
  }

  /// `(byte · scale − mean) / std` in a channel of the input.
  public func value(of byte: UInt8, channel: Int) -> Float {
    let mean = Double(self.mean.count == 1 ? self.mean[0] : self.mean[channel])
    let std = Double(self.std.count == 1 ? self.std[0] : self.std[channel])
    return Float((Double(byte) * Double(scale) - mean) / std)
  }

  /// - Throws: `argument`, all problems at once: sides outside 1...16384, a mean or deviation for another
  ///   number of channels, a deviation of 0, numbers that are not finite.
  public func validate() throws {
    var problems: [LaminaError] = []
    func check(_ size: Size, _ field: String) {
      for side in [size.height, size.width] where side < 1 || side > 16_384 {
        problems.append(
          LaminaError(
            .argument, "expected a side in 1...16384, found \(side)", path: "preprocessing.\(field)"
          ))
      }
    }
    switch resize {
    case .none: break
    case .shorterSide(let side): check(Size(height: side, width: side), "resize")
    case .exact(let height, let width), .cover(let height, let width):
      check(Size(height: height, width: width), "resize")
    }
    if let centerCrop { check(centerCrop, "center_crop") }
    for (field, values) in [("mean", mean), ("std", std)] {
      if values.count != 1 && values.count != channelCount {
        problems.append(
          LaminaError(
            .argument, "expected 1 or \(channelCount) numbers, found \(values.count)",
            path: "preprocessing.\(field)"))
      }
      if !values.allSatisfy(\.isFinite) || field == "std" && values.contains(0) {
        problems.append(
          LaminaError(
            .argument, "expected finite numbers" + (field == "std" ? " other than 0" : ""),
            path: "preprocessing.\(field)"))
      }
    }
    if !scale.isFinite {
      problems.append(
        LaminaError(.argument, "expected a finite number", path: "preprocessing.scale"))
    }
    if let error = LaminaError.combining(problems) { throw error }
  }

  /// The recipe for square inputs of another side: what is resized and cropped keeps its proportion.
  public func resized(to side: Int) -> Preprocessing {
    var result = self
    func scaled(_ extent: Int, _ kept: Int?) -> Int {
      guard let kept, kept > 0 else { return side }
      return (extent.saturatingProduct(side).saturatingSum(kept / 2)) / kept
    }
    if centerCrop != nil { result.centerCrop = Size(height: side, width: side) }
    switch resize {
    case .none: break
    case .shorterSide(let old):
      result.resize = .shorterSide(
        scaled(old, centerCrop.map { Swift.min($0.height, $0.width) }))
    case .exact(let height, let width):
      result.resize = .exact(
        height: scaled(height, centerCrop?.height), width: scaled(width, centerCrop?.width))
    case .cover(let height, let width):
      result.resize = .cover(
        height: scaled(height, centerCrop?.height), width: scaled(width, centerCrop?.width))
    }
    return result
  }

  /// torchvision's recipe: shorter side to `resize`, middle `size`×`size`, ImageNet mean and deviation.
  public static func torch(
    size: Int = 224, resize: Int = 256, _ interpolation: Interpolation = .bilinear
  )
    -> Preprocessing
  {
    Preprocessing(
      resize: .shorterSide(resize), interpolation: interpolation,
      centerCrop: Size(height: size, width: size))
  }

  /// Keras' `tf` mode: x / 127.5 − 1.
  public static func tf(
    size: Int = 299, resize: Int = 333, _ interpolation: Interpolation = .bicubic
  )
    -> Preprocessing
  {
    Preprocessing(
      resize: .shorterSide(resize), interpolation: interpolation,
      centerCrop: Size(height: size, width: size), scale: 1, mean: [127.5], std: [127.5])
  }

  /// Caffe's mode: BGR, the ImageNet mean of 0…255 values taken off, no scale.
  public static func caffe(size: Int = 224, resize: Int = 256) -> Preprocessing {
    Preprocessing(
      resize: .shorterSide(resize), centerCrop: Size(height: size, width: size),
      channelOrder: .bgr, scale: 1, mean: [103.939, 116.779, 123.68], std: [1])
  }
}

// MARK: - JSON

extension Preprocessing {
  /// The recipe as JSON.
  public var json: JSON {
    func numbers(_ values: [Float]) -> JSON { .array(values.map { .double(Double($0)) }) }
    func size(_ height: Int, _ width: Int) -> JSON {
      .array([.int(Int64(height)), .int(Int64(width))])
    }
    let resizeJSON: JSON =
      switch resize {
      case .none: .object(["mode": .string("none")])
      case .shorterSide(let side):
        .object(["mode": .string("shorter_side"), "size": .int(Int64(side))])
      case .exact(let height, let width):
        .object(["mode": .string("exact"), "size": size(height, width)])
      case .cover(let height, let width):
        .object(["mode": .string("cover"), "size": size(height, width)])
      }
    return .object([
      "resize": resizeJSON,
      "interpolation": .string(interpolation.rawValue),
      "antialias": .bool(antialias),
      "center_crop": centerCrop.map { size($0.height, $0.width) },
      "channel_order": .string(channelOrder.rawValue),
      "scale": .double(Double(scale)),
      "mean": numbers(mean),
      "std": numbers(std),
    ])
  }

  /// Reads a recipe; every field has a type and a range, an unknown one is an error.
  ///
  /// - Throws: `format`, all problems at once.
  public init(json: JSON, path: String = "preprocessing") throws {
    self.init()
    guard let members = json.members else {
      throw LaminaError(.format, "expected an object, found \(json.typeName)", path: path)
    }
    var problems: [LaminaError] = []
    func problem(_ key: String, _ expected: String) {
      problems.append(LaminaError(.format, "expected \(expected)", path: "\(path).\(key)"))
    }
    func side(_ value: JSON?) -> Int? {
      value?.int.flatMap { $0 >= 1 && $0 <= 16_384 ? $0 : nil }
    }
    func size(_ value: JSON?) -> Size? {
      guard let pair = value?.array, pair.count == 2, let height = side(pair[0]),
        let width = side(pair[1])
      else { return nil }
      return Size(height: height, width: width)
    }
    func numbers(_ value: JSON) -> [Float]? {
      guard let array = value.array, array.count == 1 || array.count == 3 else { return nil }
      let numbers = array.compactMap { $0.double.map(Float.init) }.filter(\.isFinite)
      return numbers.count == array.count ? numbers : nil
    }
    centerCrop = nil
    for member in members {
      let value = member.value
      switch member.key {
      case "resize":
        switch (value["mode"]?.string, side(value["size"]), size(value["size"])) {
        case ("none", _, _): resize = .none
        case ("shorter_side", let side?, _): resize = .shorterSide(side)
        case ("exact", _, let size?): resize = .exact(height: size.height, width: size.width)
        case ("cover", _, let size?): resize = .cover(height: size.height, width: size.width)
        default:
          problem(
            "resize", "mode none, shorter_side, exact or cover with a size in 1...16384")
        }
      case "interpolation":
        if let parsed = value.string.flatMap(Interpolation.init(rawValue:)) {
          interpolation = parsed
        } else {
          problem("interpolation", "nearest, bilinear, bicubic, box or lanczos")
        }
      case "antialias":
        if let flag = value.bool { antialias = flag } else { problem("antialias", "true or false") }
      case "center_crop":
        if let parsed = size(value) {
          centerCrop = parsed
        } else {
          problem("center_crop", "[height, width] in 1...16384")
        }
      case "channel_order":
        if let parsed = value.string.flatMap(ChannelOrder.init(rawValue:)) {
          channelOrder = parsed
        } else {
          problem("channel_order", "rgb, bgr or gray")
        }
      case "scale":
        if let number = value.double, Float(number).isFinite {
          scale = Float(number)
        } else {
          problem("scale", "a number")
        }
      case "mean":
        if let parsed = numbers(value) { mean = parsed } else { problem("mean", "1 or 3 numbers") }
      case "std":
        if let parsed = numbers(value), parsed.allSatisfy({ $0 != 0 }) {
          std = parsed
        } else {
          problem("std", "1 or 3 numbers other than 0")
        }
      default:
        problems.append(
          LaminaError(
            .format, "unknown field '\(member.key.escapedForDisplay())'", path: path))
      }
    }
    if let error = LaminaError.combining(problems) { throw error }
    try validate()
  }
}
