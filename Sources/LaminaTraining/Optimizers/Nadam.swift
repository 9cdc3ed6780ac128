import LaminaCore
import LaminaKernels

/// Adam with Nesterov's momentum: m and s as in Adam, t the step from 1, μₜ = β₁·(1 − ½·0.96^(ψ·t)),
/// Πₜ = μ₁·…·μₜ;
/// w ← w − η·(μₜ₊₁·m / (1 − Πₜ₊₁) + (1 − μₜ)·g / (1 − Πₜ)) / (√(s / (1 − β₂ᵗ)) + ε).
///
/// The conventions share the formula. PyTorch's `NAdam`: ψ 0.004 (`momentum_decay`), ε 10⁻⁸, learning rate 0.002;
/// Keras's `Nadam`: ψ 1, ε 10⁻⁷, learning rate 0.001. Dozat 2016, openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ.
public struct Nadam: Optimizer {
  /// η.
  public var learningRate: Double
  /// β₁.
  public var beta1: Double
  /// β₂.
  public var beta2: Double
  /// ε.
  public var epsilon: Double
  /// ψ.
  public var momentumDecay: Double
  /// How weights shrink.
  public var weightDecay: WeightDecay

  /// The rule, by default with the numbers of the convention.
  public init(
    learningRate: Double? = nil, beta1: Double = 0.9, beta2: Double = 0.999,
    epsilon: Double? = nil, momentumDecay: Double? = nil, weightDecay: WeightDecay = .none,
    convention: Convention = .keras
  ) {
    let isKeras = convention == .keras
    self.learningRate = learningRate ?? (isKeras ? 0.001 : 0.002)
    self.beta1 = beta1
    self.beta2 = beta2
    self.epsilon = epsilon ?? (isKeras ? 1e-7 : 1e-8)
    self.momentumDecay = momentumDecay ?? (isKeras ? 1 : 0.004)
    self.weightDecay = weightDecay
  }

  /// m and s.
  public var stateNames: [String] { ["mean", "mean_square"] }
  /// Π₀.
  public var initialNumbers: [Double] { [1] }

  /// Πₜ from Πₜ₋₁.
  public func advance(_ numbers: inout [Double], to step: Int) { numbers[0] *= momentum(step) }

  /// μₜ.
  private func momentum(_ step: Int) -> Double {
    beta1 * (1 - 0.5 * power(0.96, Double(step) * momentumDecay))
  }

  /// Updates one weight.
  public func update(_ call: OptimizerCall) {
    let product = call.numbers[0]
    let next = momentum(call.step + 1)
    updateMoments(
      call, beta1, beta2, ofMean: call.learningRate * next / (1 - product * next),
      ofGradient: call.learningRate * (1 - momentum(call.step)) / (1 - product),
      root: 1 / (1 - power(beta2, Double(call.step))).squareRoot(), epsilon: epsilon)
  }
}
