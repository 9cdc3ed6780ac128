/// The window that a layer slides over the spatial axes of its input, per axis (height, width).
public struct Window: Sendable, Hashable {
  /// What stands beyond the borders of the input.
  public enum Padding: Sendable, Hashable {
    /// So many positions before each axis and behind it.
    case explicit(before: [Int], after: [Int])
    /// As many as make the output ⌈input / stride⌉, the odd one behind or, `lower`, before.
    case same(lower: Bool)
  }

  /// Extent in taps.
  public var kernel: [Int]
  /// Step in input positions.
  public var stride: [Int]
  /// Distance of taps in input positions.
  public var dilation: [Int]
  /// Positions beyond the borders.
  public var padding: Padding
  /// Whether a last window that is not whole counts.
  public var roundsUp: Bool

  /// A window, by default without padding.
  public init(
    kernel: [Int], stride: [Int], dilation: [Int]? = nil, padding: Padding? = nil,
    roundsUp: Bool = false
  ) {
    let zeros = kernel.map { _ in 0 }
    self.kernel = kernel
    self.stride = stride
    self.dilation = dilation ?? kernel.map { _ in 1 }
    self.padding = padding ?? .explicit(before: zeros, after: zeros)
    self.roundsUp = roundsUp
  }

  /// dilation · (kernel − 1) + 1: input positions from the first tap to the last.
  func span(_ axis: Int) -> Int {
    (kernel[axis] - 1).saturatingProduct(dilation[axis]).saturatingSum(1)
  }

  /// Positions before `axis` of an input of that extent.
  func before(_ axis: Int, extent: Int) -> Int {
    switch padding {
    case .explicit(let before, _): return before[axis]
    case .same(let lower):
      let output = (extent + stride[axis] - 1) / stride[axis]
      let total = max(
        (output - 1).saturatingProduct(stride[axis]).saturatingSum(span(axis)) - extent, 0)
      return lower ? total - total / 2 : total / 2
    }
  }

  /// How `axis` of the output follows from the input: `⌊(224 + 3 + 3 − 7) / 2⌋ + 1 = 112`.
  func sizeRule(_ axis: Int, input: Int, output: Int) -> String {
    switch padding {
    case .same: return "⌈\(input) / \(stride[axis])⌉ = \(output)"
    case .explicit(let before, let after):
      let padded =
        before[axis] == 0 && after[axis] == 0
        ? "\(input)" : "\(input) + \(before[axis]) + \(after[axis])"
      let (open, close) = roundsUp ? ("⌈", "⌉") : ("⌊", "⌋")
      return stride[axis] == 1
        ? "\(padded) − \(span(axis)) + 1 = \(output)"
        : "\(open)(\(padded) − \(span(axis))) / \(stride[axis])\(close) + 1 = \(output)"
    }
  }
}
