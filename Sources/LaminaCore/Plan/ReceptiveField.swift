/// What a position of a feature map sees of the input, per spatial axis (height, width), in input pixels.
///
/// size′ = size + (span − 1) · jump, start′ = start + ((span − 1) / 2 − padding) · jump, jump′ = jump · stride,
/// from size 1, jump 1 and start 0.5 at the input. Araujo, Norris, Sim 2019, Computing Receptive Fields of
/// Convolutional Neural Networks, Distill. Sizes and jumps saturate.
public struct ReceptiveField: Sendable, Hashable {
  /// Extent of the region that one position depends on.
  public var size = [1, 1]
  /// Distance of the regions of neighbours.
  public var jump = [1, 1]
  /// Centre of the first position's region; the first pixel has its own at 0.5.
  public var start = [0.5, 0.5]

  /// That of the input itself.
  public init() {}

  /// That of the map which `window` makes of a map [height, width].
  func applying(_ window: Window, extents: [Int]) -> ReceptiveField {
    guard window.kernel.count == 2, extents.count == 2 else { return self }
    var result = self
    for axis in 0..<2 {
      let reach = window.span(axis) - 1
      let offset = Double(reach) / 2 - Double(window.before(axis, extent: extents[axis]))
      result.start[axis] += offset * Double(jump[axis])
      result.size[axis] = size[axis].saturatingSum(reach.saturatingProduct(jump[axis]))
      result.jump[axis] = jump[axis].saturatingProduct(window.stride[axis])
    }
    return result
  }

  /// The smallest that holds both.
  func union(_ other: ReceptiveField) -> ReceptiveField {
    var result = self
    for axis in 0..<2 {
      func edges(_ field: ReceptiveField) -> (Double, Double) {
        let half = Double(field.size[axis] - 1) / 2
        return (field.start[axis] - half, field.start[axis] + half)
      }
      let (low, high) = (edges(self), edges(other))
      let first = min(low.0, high.0)
      let last = max(low.1, high.1)
      result.size[axis] = max(
        Int(exactly: (last - first).rounded(.up)).map { $0.saturatingSum(1) } ?? .max,
        max(size[axis], other.size[axis]))
      result.start[axis] = (first + last) / 2
      result.jump[axis] = max(jump[axis], other.jump[axis])
    }
    return result
  }
}
