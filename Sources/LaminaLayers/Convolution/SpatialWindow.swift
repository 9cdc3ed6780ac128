import LaminaCore

/// The window of a convolution: kernel, strides, dilations and padding over 1 to 3 spatial axes.
///
/// Attributes: `kernel_size` (extents in taps), `strides` (1), `dilations` (1), and `padding` (0):
/// zeros around the input as `[begin…, end…]`, `[top, left, bottom, right]` in two dimensions, or
/// `same_upper`, `same_lower`, `valid`.
struct SpatialWindow: Sendable, Hashable {
  enum AutoPadding: String, Sendable, CaseIterable {
    case sameUpper = "same_upper"
    case sameLower = "same_lower"
    case valid
  }

  enum Padding: Sendable, Hashable {
    /// Zeros before each axis, then zeros behind each.
    case explicit([Int])
    case automatic(AutoPadding)
  }

  var kernel: [Int]
  var strides: [Int]
  var dilations: [Int]
  var padding: Padding

  private static let range = 1...65535

  var rank: Int { kernel.count }
  var taps: Int { kernel.reduce(1, *) }
  /// Input positions from the first tap to the last.
  var spans: [Int] { zip(kernel, dilations).map { ($0 - 1) * $1 + 1 } }

  /// Reads the window's attributes; `rank` nil takes as many axes as `kernel_size` has.
  init(attributes: inout AttributeReader, rank: Int? = nil) throws {
    kernel = try attributes.ints("kernel_size", count: rank, in: Self.range)
    guard (1...3).contains(kernel.count) else {
      throw LaminaError(
        .graph, "expected 1 to 3 integers in attribute 'kernel_size', found \(kernel.count)")
    }
    let count = kernel.count
    let ones = kernel.map { _ in 1 }
    strides = try attributes.ints("strides", count: count, default: ones, in: Self.range)
    dilations = try attributes.ints("dilations", count: count, default: ones, in: Self.range)
    if case .string = attributes.value("padding") {
      padding = .automatic(try attributes.choice("padding"))
    } else {
      padding = .explicit(
        try attributes.ints(
          "padding", count: 2 * count, default: [Int](repeating: 0, count: 2 * count), in: 0...65535
        ))
    }
  }

  func encode(into attributes: inout AttributeWriter) {
    attributes.ints("kernel_size", kernel)
    if strides.contains(where: { $0 != 1 }) { attributes.ints("strides", strides) }
    if dilations.contains(where: { $0 != 1 }) { attributes.ints("dilations", dilations) }
    switch padding {
    case .explicit(let pads):
      if pads.contains(where: { $0 != 0 }) { attributes.ints("padding", pads) }
    case .automatic(let padding): attributes.choice("padding", padding)
    }
  }

  /// The window as the core knows it.
  func described(roundsUp: Bool = false) -> Window {
    let described: Window.Padding? =
      switch padding {
      case .explicit(let pads):
        .explicit(before: Array(pads.prefix(rank)), after: Array(pads.suffix(rank)))
      case .automatic(.sameUpper): .same(lower: false)
      case .automatic(.sameLower): .same(lower: true)
      case .automatic(.valid): nil
      }
    return Window(
      kernel: kernel, stride: strides, dilation: dilations, padding: described, roundsUp: roundsUp)
  }

  /// Zeros before each axis and the extents of the output.
  ///
  /// - Throws: `shape` when the window is larger than the padded input.
  func resolve(_ input: [Int]) throws -> (begins: [Int], output: [Int]) {
    var begins = [Int](repeating: 0, count: rank)
    var padded = input
    switch padding {
    case .automatic(.valid): break
    case .explicit(let pads):
      for axis in 0..<rank {
        begins[axis] = pads[axis]
        padded[axis] += pads[axis] + pads[rank + axis]
      }
    case .automatic(let flavour):
      for axis in 0..<rank {
        let output = (input[axis] + strides[axis] - 1) / strides[axis]
        let total = max(0, (output - 1) * strides[axis] + spans[axis] - input[axis])
        begins[axis] = flavour == .sameUpper ? total / 2 : total - total / 2
        padded[axis] += total
      }
    }
    guard zip(padded, spans).allSatisfy({ $0 >= $1 }) else {
      throw LaminaError(.shape, "expected a padded input of at least \(spans), found \(padded)")
    }
    return (begins, (0..<rank).map { (padded[$0] - spans[$0]) / strides[$0] + 1 })
  }

  /// The spatial extents of an input `[batch, channels, spatial…]` of `float32`.
  ///
  /// - Throws: `shape` for another number of axes, another type, or no channels.
  func spatialExtents(of input: TensorSpec) throws -> [Int] {
    guard input.type == .float32 else {
      throw LaminaError(.shape, "expected float32, found \(input.type.rawValue)")
    }
    guard input.shape.rank == rank + 2 else {
      throw LaminaError(.shape, "expected \(rank + 2) axes, found \(input.shape)")
    }
    guard input.shape[1] > 0 else {
      throw LaminaError(.shape, "expected at least 1 channel, found \(input.shape)")
    }
    return Array(input.shape.dimensions[2...])
  }
}

/// `a · b`, or the largest number where that is too large: for counts of operations.
func saturatingProduct(_ a: Int, _ b: Int) -> Int {
  let (product, overflow) = a.multipliedReportingOverflow(by: b)
  return overflow ? .max : product
}
