import LaminaCore
import LaminaKernels

/// Stochastic gradient descent with momentum: η the learning rate, μ the momentum, v at first 0.
///
/// - PyTorch: v ← μ·v + g, w ← w − η·v; Nesterov: w ← w − η·(g + μ·v).
/// - Keras: v ← μ·v − η·g, w ← w + v; Nesterov: w ← w + μ·v − η·g.
///
/// Both are the same while η is constant. PyTorch's velocity follows a new η at once, Keras's by and by. The `decay` of
/// old Keras is the schedule `InverseTimeSchedule`.
public struct SGD: Optimizer {
  /// η.
  public var learningRate: Double
  /// μ, from 0; with 0 there is no state.
  public var momentum: Double
  /// Whether the step looks ahead.
  public var nesterov: Bool
  /// How weights shrink.
  public var weightDecay: WeightDecay
  /// Whose formula.
  public var convention: Convention

  /// The rule.
  public init(
    learningRate: Double = 0.01, momentum: Double = 0, nesterov: Bool = false,
    weightDecay: WeightDecay = .none, convention: Convention = .pyTorch
  ) {
    self.learningRate = learningRate
    self.momentum = momentum
    self.nesterov = nesterov
    self.weightDecay = weightDecay
    self.convention = convention
  }

  /// The velocity.
  public var stateNames: [String] { momentum == 0 ? [] : ["velocity"] }

  /// Updates one weight.
  public func update(_ call: OptimizerCall) {
    var decay = call.decay
    let rate = Float(call.learningRate)
    var rule = lk_momentum(
      momentum: Float(momentum), a: convention == .keras ? -rate : 1,
      b: convention == .keras ? 1 : -rate, nesterov: nesterov)
    lk_f32_momentum_step(
      call.pool.handle, &decay, &rule, call.value.floats, call.gradient.floats,
      call.state.first?.floats, call.value.shape.count)
  }
}
