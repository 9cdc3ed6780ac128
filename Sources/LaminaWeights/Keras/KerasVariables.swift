import LaminaCore

/// A variable of a Keras layer as Lamina's parameter: its name, and the axes in another order.
struct KerasVariable: Sendable, Hashable {
  /// `weight`, `bias`, `running_mean`, …
  var name: String
  /// Axis `k` is axis `permutation[k]` in the file.
  var permutation: [Int]
  /// What the axes are joined to, where not only their order changes.
  var shape: Shape

  /// The name and layout of the variable `variable` of a layer of class `className`, which is nil
  /// when the file does not say.
  ///
  /// Convolutions [spatial…, in, out] → [out, in, spatial…], of which the transposed ones
  /// [spatial…, out, in] → [in, out, spatial…] are a case; depthwise [h, w, c, m] → [c·m, 1, h, w];
  /// dense [in, out] → [out, in].
  init(_ variable: String, of className: String?, shape: Shape) throws {
    let rank = shape.rank
    permutation = Array(0..<rank)
    self.shape = shape
    func reverseChannels() throws {
      guard rank >= 2 else { return }
      permutation = [rank - 1, rank - 2] + (0..<rank - 2)
      self.shape = try Shape(permutation.map { shape[$0] })
    }
    let isDepthwise = className?.hasPrefix("depthwise_conv") ?? false
    switch variable {
    case _ where variable == "depthwise_kernel" || (variable == "kernel" && isDepthwise):
      name = className?.hasPrefix("separable_conv") ?? false ? "depthwise.weight" : "weight"
      guard rank >= 3 else { return }
      permutation = [rank - 2, rank - 1] + (0..<rank - 2)
      let (channels, overflow) = shape[rank - 2].multipliedReportingOverflow(by: shape[rank - 1])
      self.shape = try Shape(
        [overflow ? .max : channels, 1] + (0..<rank - 2).map { shape[$0] })
    case "pointwise_kernel":
      name = "pointwise.weight"
      try reverseChannels()
    case "kernel":
      name = "weight"
      try reverseChannels()
    case "gamma": name = "weight"
    case "beta": name = "bias"
    case "moving_mean", "running_mean": name = "running_mean"
    // Keras 1 named the variance so.
    case "moving_variance", "running_std": name = "running_var"
    case "alpha" where rank >= 1:
      name = "weight"
      permutation = [rank - 1] + (0..<rank - 1)
      let axes = permutation.map { shape[$0] }
      self.shape = try Shape(axes.dropFirst().allSatisfy { $0 == 1 } ? [axes[0]] : axes)
    default: name = variable
    }
  }

  /// The variables of a layer in the order of Keras 3's `vars`, from its class, its options, or
  /// what the shapes suggest.
  static func names(of className: String?, config: JSON?, shapes: [Shape]) -> [String] {
    let ranks = shapes.map(\.rank)
    let numbers = shapes.indices.map(String.init)
    let known: [String]
    switch className {
    case "batch_normalization":
      if let config {
        known =
          (config["scale"]?.bool ?? true ? ["gamma"] : [])
          + (config["center"]?.bool ?? true ? ["beta"] : []) + ["moving_mean", "moving_variance"]
      } else {
        known = Array(["gamma", "beta", "moving_mean", "moving_variance"].suffix(shapes.count))
      }
    case "layer_normalization", "group_normalization": known = ["gamma", "beta"]
    case "p_re_lu": known = ["alpha"]
    case "normalization": known = ["mean", "variance", "count"]
    case let name? where name.hasPrefix("separable_conv"):
      known = ["depthwise_kernel", "pointwise_kernel", "bias"]
    case let name? where name.hasPrefix("conv") || name.hasPrefix("depthwise_conv"):
      known = ["kernel", "bias"]
    case "dense": known = ["kernel", "bias"]
    default:
      if ranks.count >= 2, ranks[0] == 4, ranks[1] == 4 {
        known = ["depthwise_kernel", "pointwise_kernel", "bias"]
      } else if let first = ranks.first, first >= 2 {
        known = ["kernel", "bias"]
      } else if ranks.count == 3 || ranks.count == 4, ranks.allSatisfy({ $0 == 1 }) {
        known = Array(["gamma", "beta", "moving_mean", "moving_variance"].suffix(shapes.count))
      } else {
        known = []
      }
    }
    return shapes.count <= known.count ? Array(known.prefix(shapes.count)) : numbers
  }
}
