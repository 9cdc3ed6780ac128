/// How a picture becomes the input of a model: data that is stored with the model's weights.
///
/// `input[c, y, x] = (scale · picture[y, x, c] − mean[c]) / std[c]`, where `picture` holds bytes 0 … 255,
/// resized and cropped to `inputSize`, and `c` counts in the order of `channels`.
public struct Preprocessing: Sendable, Hashable {
  /// Height and width in pixels.
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

    /// A square.
    public init(_ side: Int) { self.init(height: side, width: side) }
  }

  /// Which size a picture is resized to.
  public enum ResizeMode: Sendable, Hashable {
    /// It keeps its own size.
    case none
    /// To `inputSize`, whatever that does to the aspect ratio.
    case exact
    /// So that its shorter side becomes this long and the aspect ratio stays (torchvision's `Resize(Int)`).
    case shorterSide(Int)
    /// To `inputSize`, after a centre crop to the aspect ratio of `inputSize` (Keras'
    /// `crop_to_aspect_ratio=True`).
    case cropToAspectRatio
  }

  /// The filter of a resize. Bicubic has a = −0.5, Lanczos three lobes, as in Pillow.
  public enum Interpolation: String, Sendable, Hashable, CaseIterable {
    case nearest, box, bilinear, bicubic, lanczos
  }

  /// Size rule and filter of the resize.
  public struct Resize: Sendable, Hashable {
    /// The size rule.
    public var mode: ResizeMode
    /// The filter.
    public var interpolation: Interpolation
    /// Widens the filter by the factor of a reduction, as Pillow does and OpenCV does not.
    public var antialias: Bool

    /// A rule and a filter.
    public init(
      _ mode: ResizeMode, _ interpolation: Interpolation = .bilinear, antialias: Bool = true
    ) {
      self.mode = mode
      self.interpolation = interpolation
      self.antialias = antialias
    }
  }

  /// What is cut out after the resize.
  public enum Crop: String, Sendable, Hashable, CaseIterable {
    /// Nothing: the resized picture must have the size `inputSize`.
    case none
    /// `inputSize` in the middle, by torchvision's rounding.
    case center
  }

  /// The channels of the input, in their order. Grey is ITU-R 601 luma, as Pillow's mode `L`.
  public enum Channels: String, Sendable, Hashable, CaseIterable {
    case rgb, bgr, gray

    /// 1 or 3.
    public var count: Int { self == .gray ? 1 : 3 }
  }

  /// The order of the input's axes.
  public enum Layout: String, Sendable, Hashable, CaseIterable {
    /// `[batch, channels, height, width]`.
    case nchw
    /// `[batch, height, width, channels]`.
    case nhwc
  }

  /// Height and width of the input.
  public var inputSize: Size
  /// The resize.
  public var resize: Resize
  /// The crop after the resize.
  public var crop: Crop
  /// The channels.
  public var channels: Channels
  /// The order of the axes.
  public var layout: Layout
  /// What a byte is multiplied with.
  public var scale: Double
  /// What is subtracted then, one number a channel.
  public var mean: [Double]
  /// What is divided by then, one number a channel.
  public var std: [Double]

  /// By default the whole picture is resized to `inputSize` and its bytes become 0 … 1. An empty `mean`
  /// stands for zeros, an empty `std` for ones.
  public init(
    inputSize: Size, resize: Resize = Resize(.exact), crop: Crop = .none, channels: Channels = .rgb,
    layout: Layout = .nchw, scale: Double = 1.0 / 255, mean: [Double] = [], std: [Double] = []
  ) {
    self.inputSize = inputSize
    self.resize = resize
    self.crop = crop
    self.channels = channels
    self.layout = layout
    self.scale = scale
    self.mean = mean.isEmpty ? [Double](repeating: 0, count: channels.count) : mean
    self.std = std.isEmpty ? [Double](repeating: 1, count: channels.count) : std
  }

  /// The shape of a batch of inputs.
  ///
  /// - Throws: `shape` when it is no valid shape.
  public func inputShape(batch: Int = 1) throws -> Shape {
    switch layout {
    case .nchw: try Shape([batch, channels.count, inputSize.height, inputSize.width])
    case .nhwc: try Shape([batch, inputSize.height, inputSize.width, channels.count])
    }
  }

  /// `(scale · byte − mean[channel]) / std[channel]`, of a valid preprocessing.
  public func value(of byte: UInt8, channel: Int) -> Double {
    (scale * Double(byte) - mean[channel]) / std[channel]
  }

  /// The smallest and the largest value a byte can become.
  public var valueRange: ClosedRange<Double> {
    let ends = (0..<channels.count).flatMap {
      [value(of: 0, channel: $0), value(of: 255, channel: $0)]
    }
    return (ends.min() ?? 0)...(ends.max() ?? 0)
  }

  /// The same steps for an input of `side` by `side` pixels. The side that `shorterSide` resizes to becomes
  /// `resize`, by default in proportion.
  public func sized(_ side: Int, resize resizedSide: Int? = nil) -> Preprocessing {
    var result = self
    result.inputSize = Size(side)
    if case .shorterSide(let old) = resize.mode {
      let inProportion = (Double(side) * Double(old) / Double(inputSize.height)).rounded()
      result.resize.mode = .shorterSide(resizedSide ?? Int(exactly: inProportion) ?? side)
    }
    return result
  }
}

// MARK: - Presets

extension Preprocessing {
  /// torchvision's classification models: shorter side 256, bilinear with antialias, centre crop 224, RGB,
  /// 0 … 1 normalised by ImageNet's mean and standard deviation.
  public static let imagenet = Preprocessing(
    inputSize: Size(224), resize: Resize(.shorterSide(256)), crop: .center,
    mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225])

  /// timm's Inception and Xception: as `imagenet`, but bicubic, and −1 … 1.
  public static let inception = Preprocessing(
    inputSize: Size(299), resize: Resize(.shorterSide(333), .bicubic), crop: .center,
    mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5])

  /// Keras' mode `tf` (ResNetV2, Inception, Xception, MobileNet): RGB, `x / 127.5 − 1`.
  public static let tf = Preprocessing(
    inputSize: Size(224), resize: Resize(.exact, .nearest), scale: 1 / 127.5, mean: [1, 1, 1])

  /// Keras' mode `caffe` (VGG, ResNet): BGR, 0 … 255 minus ImageNet's mean of each channel.
  public static let caffe = Preprocessing(
    inputSize: Size(224), resize: Resize(.exact, .nearest), channels: .bgr, scale: 1,
    mean: [103.939, 116.779, 123.68])

  /// Keras models that rescale inside the graph (EfficientNet, MobileNetV3, ConvNeXt): RGB, 0 … 255.
  public static let unscaled = Preprocessing(
    inputSize: Size(224), resize: Resize(.exact, .nearest), scale: 1)
}

// MARK: - Validation

extension Preprocessing {
  /// - Throws: `argument` that lists every field with an impossible value.
  public func validate() throws {
    if let error = LaminaError.combining(problems.map { LaminaError(.argument, $0) }) {
      throw error
    }
  }

  private var problems: [String] {
    var problems: [String] = []
    let sides = 1...Limits().imageSide
    func expect(_ condition: Bool, _ problem: @autoclosure () -> String) {
      if !condition { problems.append(problem()) }
    }
    func expectSide(_ side: Int, _ what: String) {
      expect(sides.contains(side), "expected \(what) in 1...\(sides.upperBound), found \(side)")
    }
    func expectNumbers(_ numbers: [Double], _ what: String) {
      expect(
        numbers.count == channels.count,
        "expected \(channels.count) numbers in \(what), found \(numbers.count)")
    }
    expectSide(inputSize.height, "an input height")
    expectSide(inputSize.width, "an input width")
    if case .shorterSide(let side) = resize.mode {
      expectSide(side, "a shorter side")
      let needed = min(inputSize.height, inputSize.width)
      expect(
        crop == .none || side >= needed,
        "expected a shorter side of at least the crop's \(needed), found \(side)")
    }
    expect(scale.isFinite && scale != 0, "expected a finite scale other than 0, found \(scale)")
    expectNumbers(mean, "mean")
    expectNumbers(std, "std")
    for number in mean {
      expect(number.isFinite, "expected finite numbers in mean, found \(number)")
    }
    for number in std {
      expect(number.isFinite && number > 0, "expected positive numbers in std, found \(number)")
    }
    return problems
  }
}

// MARK: - JSON

extension Preprocessing {
  /// The form in Lamina's files:
  /// ```json
  /// { "input_size": [224, 224],
  ///   "resize": { "mode": "shorter_side", "side": 256, "interpolation": "bilinear", "antialias": true },
  ///   "crop": "center", "channels": "rgb", "layout": "nchw",
  ///   "scale": 0.00392156862745098, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225] }
  /// ```
  /// `mode` is `none`, `exact`, `shorter_side` (with `side`) or `crop_to_aspect_ratio`.
  public var json: JSON {
    let (mode, side): (String, Int?) =
      switch resize.mode {
      case .none: ("none", nil)
      case .exact: ("exact", nil)
      case .shorterSide(let side): ("shorter_side", side)
      case .cropToAspectRatio: ("crop_to_aspect_ratio", nil)
      }
    return .object([
      "input_size": .array([.int(Int64(inputSize.height)), .int(Int64(inputSize.width))]),
      "resize": .object([
        "mode": .string(mode), "side": side.map { .int(Int64($0)) },
        "interpolation": .string(resize.interpolation.rawValue),
        "antialias": .bool(resize.antialias),
      ]),
      "crop": .string(crop.rawValue),
      "channels": .string(channels.rawValue),
      "layout": .string(layout.rawValue),
      "scale": .double(scale),
      "mean": .array(mean.map(JSON.double)),
      "std": .array(std.map(JSON.double)),
    ])
  }

  /// Reads what `json` writes. Only `input_size` must be there; the rest has the defaults of `init`.
  ///
  /// - Throws: `format` that lists every unknown field and every field with an impossible value.
  public init(json: JSON, path: String = "preprocessing") throws {
    var reader = FieldReader(json, name: "preprocessing")
    let inputSize = reader.size("input_size")
    var resize = Resize(.exact)
    if let value = reader.take("resize") {
      var fields = FieldReader(value, name: "resize")
      let mode = fields.choice(
        "mode", among: ["none", "exact", "shorter_side", "crop_to_aspect_ratio"])
      let side = fields.integer("side")
      switch mode {
      case "none": resize.mode = .none
      case "shorter_side": resize.mode = .shorterSide(side ?? 0)
      case "crop_to_aspect_ratio": resize.mode = .cropToAspectRatio
      default: resize.mode = .exact
      }
      if side != nil, let mode, mode != "shorter_side" {
        fields.problems.append("expected no side with mode '\(mode)'")
      }
      resize.interpolation = fields.choice("interpolation") ?? .bilinear
      resize.antialias = fields.bool("antialias") ?? true
      reader.problems += fields.finish()
    }
    if inputSize == nil, json["input_size"] == nil {
      reader.problems.append("expected a field 'input_size'")
    }
    self.init(
      inputSize: inputSize ?? Size(1), resize: resize,
      crop: reader.choice("crop") ?? .none, channels: reader.choice("channels") ?? .rgb,
      layout: reader.choice("layout") ?? .nchw, scale: reader.number("scale") ?? 1.0 / 255,
      mean: reader.numbers("mean") ?? [], std: reader.numbers("std") ?? [])
    let all = reader.finish() + problems
    if let error = LaminaError.combining(all.map { LaminaError(.format, $0) }) {
      throw error.at(path)
    }
  }
}

/// Takes the members of a JSON object one by one and collects what is wrong with them.
private struct FieldReader {
  private var members: [JSON.Member]
  private var known: [String] = []
  private let name: String
  var problems: [String] = []

  init(_ json: JSON, name: String) {
    self.name = name
    members = json.members ?? []
    if json.members == nil {
      problems.append("expected \(name) to be an object, found \(json.typeName)")
    }
  }

  mutating func take(_ key: String) -> JSON? {
    known.append(key)
    guard let index = members.firstIndex(where: { $0.key == key }) else { return nil }
    return members.remove(at: index).value
  }

  private mutating func take<T>(_ key: String, _ what: String, _ read: (JSON) -> T?) -> T? {
    guard let json = take(key) else { return nil }
    guard let value = read(json) else {
      problems.append("expected \(what) for '\(key)', found \(json.text().escapedForDisplay())")
      return nil
    }
    return value
  }

  mutating func integer(_ key: String) -> Int? { take(key, "an integer", \.int) }
  mutating func number(_ key: String) -> Double? { take(key, "a number", \.double) }
  mutating func bool(_ key: String) -> Bool? { take(key, "true or false", \.bool) }

  mutating func numbers(_ key: String) -> [Double]? {
    take(key, "numbers") { json in
      guard let numbers = json.array?.map(\.double), !numbers.contains(nil) else { return nil }
      return numbers.compactMap { $0 }
    }
  }

  mutating func size(_ key: String) -> Preprocessing.Size? {
    take(key, "two integers") { json in
      guard let sides = json.array, sides.count == 2, let height = sides[0].int,
        let width = sides[1].int
      else { return nil }
      return Preprocessing.Size(height: height, width: width)
    }
  }

  mutating func choice(_ key: String, among names: [String]) -> String? {
    take(key, "one of \(names.joined(separator: ", "))") { json in
      json.string.flatMap { names.contains($0) ? $0 : nil }
    }
  }

  mutating func choice<T: RawRepresentable<String> & CaseIterable>(_ key: String) -> T? {
    choice(key, among: T.allCases.map(\.rawValue)).flatMap(T.init)
  }

  mutating func finish() -> [String] {
    for member in members {
      let hint = nearestName(to: member.key, in: known).map { ", did you mean '\($0)'" } ?? ""
      problems.append("unknown field '\(member.key.escapedForDisplay())' in \(name)\(hint)")
    }
    return problems
  }
}
