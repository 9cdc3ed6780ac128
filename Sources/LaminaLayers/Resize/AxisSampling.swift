import LaminaCore

/// Where the elements of a new grid lie on one axis of the old one, and which old elements they are made of.
struct AxisSampling {
  enum Coordinates: String, Sendable, CaseIterable {
    case halfPixel = "half_pixel"
    case halfPixelSymmetric = "half_pixel_symmetric"
    case pytorchHalfPixel = "pytorch_half_pixel"
    case alignCorners = "align_corners"
    case asymmetric
    case tfCropAndResize = "tf_crop_and_resize"
  }

  enum Rounding: String, Sendable, CaseIterable {
    case preferFloor = "round_prefer_floor"
    case preferCeil = "round_prefer_ceil"
    case floor, ceil
  }

  /// What all axes have in common.
  struct Options: Sendable, Hashable {
    var coordinates: Coordinates
    var rounding: Rounding
    var cubicCoefficient: Float
    var excludesOutside: Bool
    var isAntialiased: Bool

    init(attributes: inout AttributeReader) throws {
      coordinates = try attributes.choice("coordinates", default: .halfPixel)
      rounding = try attributes.choice("nearest_mode", default: .preferFloor)
      cubicCoefficient = try attributes.float("cubic_coefficient", default: -0.75)
      excludesOutside = try attributes.bool("exclude_outside", default: false)
      isAntialiased = try attributes.bool("antialias", default: false)
    }

    func encode(into attributes: inout AttributeWriter) {
      if coordinates != .halfPixel { attributes.choice("coordinates", coordinates) }
      if rounding != .preferFloor { attributes.choice("nearest_mode", rounding) }
      if cubicCoefficient != -0.75 { attributes.float("cubic_coefficient", cubicCoefficient) }
      if excludesOutside { attributes.bool("exclude_outside", true) }
      if isAntialiased { attributes.bool("antialias", true) }
    }
  }

  private let options: Options
  private let extent: Int
  private let newExtent: Int
  private let scale: Double
  private let section: (start: Double, end: Double)

  init(
    _ options: Options, extent: Int, newExtent: Int, scale: Double,
    section: (start: Double, end: Double)
  ) {
    self.options = options
    self.extent = extent
    self.newExtent = newExtent
    self.scale = scale
    self.section = section
  }

  /// Whether every element stays where it is.
  var isIdentity: Bool {
    scale == 1 && extent == newExtent
      && (options.coordinates != .tfCropAndResize || section == (0, 1))
  }

  /// The position of new element `index` among the old ones.
  private func position(_ index: Int) -> Double {
    let x = Double(index)
    // The exact new extent, which `newExtent` is rounded from: the official cases divide by it.
    let width = scale * Double(extent)
    switch options.coordinates {
    case .halfPixel: return (x + 0.5) / scale - 0.5
    case .pytorchHalfPixel: return newExtent > 1 ? (x + 0.5) / scale - 0.5 : 0
    case .halfPixelSymmetric:
      let offset = Double(extent) / 2 * (1 - Double(newExtent) / width)
      return offset + (x + 0.5) / scale - 0.5
    case .alignCorners: return width == 1 ? 0 : x * Double(extent - 1) / (width - 1)
    case .asymmetric: return x / scale
    case .tfCropAndResize:
      let (last, length) = (Double(extent - 1), section.end - section.start)
      return section.start * last
        + (width == 1 ? length * last / 2 : x * length * last / (width - 1))
    }
  }

  private func isOutside(_ position: Double) -> Bool {
    options.coordinates == .tfCropAndResize && !(position >= 0 && position <= Double(extent - 1))
  }

  /// New elements that lie outside the old ones and take the extrapolation value.
  func outside() -> [Int] {
    guard options.coordinates == .tfCropAndResize, !isIdentity else { return [] }
    return (0..<newExtent).filter { isOutside(position($0)) }
  }

  /// `position` cut to a whole number between two bounds that Int32 holds.
  private func clamped(_ position: Double, _ upper: Int) -> Int {
    position > 0 ? min(Int(min(position, Double(upper))), upper) : 0
  }

  /// For each new element the nearest old one, −1 outside.
  func nearest() -> [Int32] {
    if isIdentity { return (0..<newExtent).map { Int32(truncatingIfNeeded: $0) } }
    return (0..<newExtent).map { index in
      let x = position(index)
      if isOutside(x) { return -1 }
      let rounded: Double =
        switch options.rounding {
        case .preferFloor: (x - 0.5).rounded(.up)
        case .preferCeil: (x + 0.5).rounded(.down)
        case .floor: x.rounded(.down)
        case .ceil: x.rounded(.up)
        }
      return Int32(truncatingIfNeeded: clamped(rounded, extent - 1))
    }
  }

  /// For each new element the weights of the old ones around it.
  func filter(isCubic: Bool) -> AxisFilter {
    let stretch = options.isAntialiased ? min(scale, 1) : 1
    let radius = isCubic ? 2.0 : 1.0
    let reach = clamped((radius / stretch).rounded(.up), 4 * extent + 2)
    let a = Double(options.cubicCoefficient)
    func kernel(_ distance: Double) -> Double {
      let d = abs(distance * stretch)
      guard isCubic else { return max(0, 1 - d) }
      if d <= 1 { return ((a + 2) * d - (a + 3)) * d * d + 1 }
      return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0
    }
    var rows: [(start: Int, weights: [Double])] = []
    rows.reserveCapacity(newExtent)
    for index in 0..<newExtent {
      // Beyond one extent to either side every tap falls on the edge.
      let x = min(max(position(index), -Double(extent)), 2 * Double(extent))
      let base = Int(x.rounded(.down))
      let start = min(max(base - reach, 0), extent - 1)
      let end = min(max(base + reach + 1, start), extent - 1)
      var weights = [Double](repeating: 0, count: end - start + 1)
      var sum = 0.0
      for tap in (base - reach)...(base + reach + 1) {
        let isInside = tap >= 0 && tap < extent
        if options.excludesOutside && !isInside { continue }
        let weight = kernel(Double(tap) - x)
        sum += weight
        weights[min(max(tap, 0), extent - 1) - start] += weight
      }
      // Without antialiasing and exclusion the weights add up to 1 as they are.
      if sum != 0, options.isAntialiased || options.excludesOutside {
        for tap in weights.indices { weights[tap] /= sum }
      }
      rows.append((start, weights))
    }
    return AxisFilter(rows, extent: extent)
  }
}
