import LaminaCore
import LaminaKernels

/// RMSProp: s ← ρ·s + (1 − ρ)·g²; η the learning rate, s at first 0.
///
/// - PyTorch: u = g / (√s + ε), b ← μ·b + u, w ← w − η·b. Defaults there: ρ 0.99, ε 10⁻⁸.
/// - Keras: u = η·g / √(s + ε), b ← μ·b + u, w ← w − b. Defaults there: ρ 0.9, ε 10⁻⁷.
///
/// Without momentum b is u. Centred, s loses the square of m ← ρ·m + (1 − ρ)·g.
public struct RMSProp: Optimizer {
  /// η.
  public var learningRate: Double
  /// ρ; PyTorch calls it alpha.
  public var rho: Double
  /// ε.
  public var epsilon: Double
  /// μ.
  public var momentum: Double
  /// Whether the variance takes the place of the mean square.
  public var isCentered: Bool
  /// How weights shrink.
  public var weightDecay: WeightDecay
  /// Whose formula.
  public var convention: Convention

  /// The rule. `rho` and `epsilon` are by default those of the convention.
  public init(
    learningRate: Double? = nil, rho: Double? = nil, epsilon: Double? = nil, momentum: Double = 0,
    isCentered: Bool = false, weightDecay: WeightDecay = .none, convention: Convention = .keras
  ) {
    let isKeras = convention == .keras
    self.learningRate = learningRate ?? (isKeras ? 0.001 : 0.01)
    self.rho = rho ?? (isKeras ? 0.9 : 0.99)
    self.epsilon = epsilon ?? (isKeras ? 1e-7 : 1e-8)
    self.momentum = momentum
    self.isCentered = isCentered
    self.weightDecay = weightDecay
    self.convention = convention
  }

  /// Mean square, mean, momentum.
  public var stateNames: [String] {
    ["mean_square"] + (isCentered ? ["mean"] : []) + (momentum == 0 ? [] : ["momentum"])
  }

  /// Updates one weight.
  public func update(_ call: OptimizerCall) {
    var decay = call.decay
    let isKeras = convention == .keras
    let rate = Float(call.learningRate)
    var rule = lk_rmsprop(
      rho: Float(rho), rest: Float(1 - rho), inner: isKeras ? Float(epsilon) : 0,
      outer: isKeras ? 0 : Float(epsilon), momentum: Float(momentum), a: isKeras ? rate : 1,
      b: isKeras ? -1 : -rate)
    lk_f32_rmsprop_step(
      call.pool.handle, &decay, &rule, call.value.floats, call.gradient.floats,
      call.state[0].floats, isCentered ? call.state[1].floats : nil,
      momentum == 0 ? nil : call.state[isCentered ? 2 : 1].floats, call.value.shape.count)
  }
}
