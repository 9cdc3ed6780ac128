import LaminaCore
import LaminaKernels

/// Adam: m ← β₁·m + (1 − β₁)·g, s ← β₂·s + (1 − β₂)·g²; η the learning rate, t the step from 1.
///
/// - PyTorch: w ← w − η / (1 − β₁ᵗ)·m / (√s / √(1 − β₂ᵗ) + ε). Default there: ε 10⁻⁸.
/// - Keras: w ← w − η·√(1 − β₂ᵗ) / (1 − β₁ᵗ)·m / (√s + ε). Default there: ε 10⁻⁷.
///
/// Kingma and Ba 2015, arxiv.org/abs/1412.6980: the algorithm, and its section 2's other order. AdamW is Adam whose
/// weights shrink decoupled: `Adam.adamW`.
public struct Adam: Optimizer {
  /// η.
  public var learningRate: Double
  /// β₁.
  public var beta1: Double
  /// β₂.
  public var beta2: Double
  /// ε.
  public var epsilon: Double
  /// How weights shrink.
  public var weightDecay: WeightDecay
  /// Whose formula.
  public var convention: Convention

  /// The rule. `epsilon` is by default that of the convention.
  public init(
    learningRate: Double = 0.001, beta1: Double = 0.9, beta2: Double = 0.999,
    epsilon: Double? = nil, weightDecay: WeightDecay = .none, convention: Convention = .pyTorch
  ) {
    self.learningRate = learningRate
    self.beta1 = beta1
    self.beta2 = beta2
    self.epsilon = epsilon ?? (convention == .keras ? 1e-7 : 1e-8)
    self.weightDecay = weightDecay
    self.convention = convention
  }

  /// Loshchilov and Hutter 2019, arxiv.org/abs/1711.05101; the decay is by default the convention's: 0.01 in PyTorch,
  /// 0.004 in Keras.
  public static func adamW(
    learningRate: Double = 0.001, beta1: Double = 0.9, beta2: Double = 0.999,
    epsilon: Double? = nil, weightDecay: Double? = nil, convention: Convention = .pyTorch
  ) -> Adam {
    Adam(
      learningRate: learningRate, beta1: beta1, beta2: beta2, epsilon: epsilon,
      weightDecay: .decoupled(weightDecay ?? (convention == .keras ? 0.004 : 0.01)),
      convention: convention)
  }

  /// m and s.
  public var stateNames: [String] { ["mean", "mean_square"] }

  /// Updates one weight.
  public func update(_ call: OptimizerCall) {
    let first = call.learningRate / (1 - power(beta1, Double(call.step)))
    let second = (1 - power(beta2, Double(call.step))).squareRoot()
    let isKeras = convention == .keras
    updateMoments(
      call, beta1, beta2, ofMean: isKeras ? first * second : first, ofGradient: 0,
      root: isKeras ? 1 : 1 / second, epsilon: epsilon)
  }
}

/// m ← β₁·m + (1 − β₁)·g, s ← β₂·s + (1 − β₂)·g², w ← w − (a·m + b·g) / (root·√s + ε).
func updateMoments(
  _ call: OptimizerCall, _ beta1: Double, _ beta2: Double, ofMean: Double, ofGradient: Double,
  root: Double, epsilon: Double
) {
  var decay = call.decay
  var rule = lk_adam(
    beta1: Float(beta1), rest1: Float(1 - beta1), beta2: Float(beta2), rest2: Float(1 - beta2),
    of_mean: Float(ofMean), of_gradient: Float(ofGradient), root: Float(root),
    epsilon: Float(epsilon))
  lk_f32_adam_step(
    call.pool.handle, &decay, &rule, call.value.floats, call.gradient.floats, call.state[0].floats,
    call.state[1].floats, call.value.shape.count)
}
