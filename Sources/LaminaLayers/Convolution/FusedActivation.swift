import LaminaCore
import LaminaKernels

/// What a fused layer does with its results: `activation` is `none`, `relu` or `clip`, which bounds them by
/// `activation_min` and `activation_max`.
struct FusedActivation: Sendable {
  private enum Kind: String, CaseIterable {
    case none, relu, clip
  }

  private let kind: Kind
  private let bounds: (min: Float, max: Float)

  init(attributes: inout AttributeReader) throws {
    kind = try attributes.choice("activation", default: Kind.none)
    bounds = (
      try attributes.float("activation_min", default: -.infinity),
      try attributes.float("activation_max", default: .infinity)
    )
  }

  func encode(into attributes: inout AttributeWriter) {
    if kind != .none { attributes.choice("activation", kind) }
    if bounds.min != -.infinity { attributes.float("activation_min", bounds.min) }
    if bounds.max != .infinity { attributes.float("activation_max", bounds.max) }
  }

  /// What kernels that activate in their epilogue are told.
  var kernel: lk_activation {
    switch kind {
    case .none: lk_activation()
    case .relu: lk_activation(kind: LK_ACTIVATION_CLAMP, low: 0, high: .infinity, slope: 0)
    case .clip:
      lk_activation(kind: LK_ACTIVATION_CLAMP, low: bounds.min, high: bounds.max, slope: 0)
    }
  }

  /// The same as a function of its own; nil for `none`.
  var function: ElementwiseFunction? {
    switch kind {
    case .none: nil
    case .relu: ElementwiseFunction(code: LK_RELU)
    case .clip: ElementwiseFunction(code: LK_CLIP, a: bounds.min, b: bounds.max)
    }
  }

  /// gradient where an output lies strictly between the bounds, 0 elsewhere.
  func differentiate(
    _ gradient: UnsafePointer<Float>, at outputs: TensorView,
    into masked: UnsafeMutablePointer<Float>, pool: ThreadPool
  ) {
    let (low, high) = (kernel.low, kernel.high)
    let (values, count) = (outputs.floats, outputs.shape.count)
    let piece = 1 << 16
    SharedLoop { part in
      for index in part * piece..<min((part + 1) * piece, count) {
        masked[index] = values[index] > low && values[index] < high ? gradient[index] : 0
      }
    }.run((count + piece - 1) / piece, on: pool)
  }
}
