import LaminaCore
import LaminaKernels

/// What an optimizer remembers of the weights of a session. One caller at a time.
public final class OptimizerState {
  /// The rule.
  public var optimizer: any Optimizer
  /// Steps so far.
  public private(set) var step = 0
  /// The optimizer's numbers.
  public private(set) var numbers: [Double]
  /// By weight: the tensors of `optimizer.stateNames`.
  public let tensors: [[Tensor]]
  private let weights: [TrainedParameter]
  private let factors: [Double]
  private let decays: [WeightDecay?]
  private let pool: ThreadPool

  /// The state before the first step.
  ///
  /// - Throws: `argument` when a rule matches no weight; `limit` when there is no memory.
  public init(_ optimizer: any Optimizer, for session: TrainingSession, rules: [ParameterRule] = [])
    throws
  {
    self.optimizer = optimizer
    weights = session.weights
    pool = session.pool
    numbers = optimizer.initialNumbers
    tensors = try weights.map { weight in
      try optimizer.stateNames.map { _ in try Tensor(zeros: weight.value.shape) }
    }
    var factors = [Double](repeating: 1, count: weights.count)
    var decays = [WeightDecay?](repeating: nil, count: weights.count)
    for rule in rules {
      var isUsed = false
      for (index, weight) in weights.enumerated() where rule.pattern.matches(weight.key) {
        isUsed = true
        if let factor = rule.learningRateFactor { factors[index] = factor }
        if let decay = rule.weightDecay { decays[index] = decay }
      }
      guard isUsed else {
        throw LaminaError(
          .argument, "no weight that learns matches '\(rule.pattern.text.escapedForDisplay())'")
      }
    }
    self.factors = factors
    self.decays = decays
  }

  /// √Σ g² over the gradients of all weights: finite exactly when every element is.
  public func gradientNorm() -> Double {
    weights.reduce(0) { $0 + squareSum($1.update) }.squareRoot()
  }

  func squareSum(_ tensor: Tensor) -> Double {
    lk_f32_square_sum(pool.handle, tensor.view.floats, tensor.shape.count)
  }

  /// One step of every weight.
  ///
  /// - Parameters:
  ///   - learningRate: in place of the optimizer's.
  ///   - gradientScale: what gradients are multiplied by first.
  ///   - clipping: how they are limited behind that.
  ///   - gradientNorm: what `gradientNorm()` gives, where the caller knows it.
  public func update(
    learningRate: Double? = nil, gradientScale: Double = 1, clipping: GradientClipping = .none,
    gradientNorm norm: Double? = nil
  ) {
    step += 1
    optimizer.advance(&numbers, to: step)
    var scale = gradientScale
    if case .globalNorm(let bound) = clipping {
      scale *= GradientClipping.scale((norm ?? gradientNorm()) * gradientScale, bound)
    }
    for (index, weight) in weights.enumerated() {
      var call = OptimizerCall(
        value: weight.value.mutableView, gradient: weight.update.view,
        state: tensors[index].map(\.mutableView), numbers: numbers, step: step,
        learningRate: (learningRate ?? optimizer.learningRate) * factors[index],
        weightDecay: decays[index] ?? optimizer.weightDecay, gradientScale: scale, pool: pool)
      switch clipping {
      case .none, .globalNorm: break
      case .value(let bound): call.gradientBound = bound
      case .norm(let bound):
        call.gradientScale *= GradientClipping.scale(
          squareSum(weight.update).squareRoot() * scale, bound)
      }
      optimizer.update(call)
    }
  }

  /// Takes over the state of another time.
  ///
  /// - Parameter tensors: by `KEY` and name of the state.
  /// - Throws: `weights` when a tensor is missing or of another shape, `argument` for another count of numbers.
  public func restore(
    step: Int, numbers: [Double], tensor: (_ key: String, _ name: String) -> Tensor?
  )
    throws
  {
    guard step >= 0, numbers.count == self.numbers.count else {
      throw LaminaError(
        .argument, "expected \(self.numbers.count) numbers of the optimizer, found \(numbers.count)"
      )
    }
    for (weight, targets) in zip(weights, tensors) {
      for (name, target) in zip(optimizer.stateNames, targets) {
        guard let source = tensor(weight.key, name) else {
          throw LaminaError(
            .weights, "\(name) of '\(weight.key.escapedForDisplay())' is missing")
        }
        try target.overwrite(with: source, name: "\(name) of '\(weight.key.escapedForDisplay())'")
      }
    }
    self.step = step
    self.numbers = numbers
  }
}

/// How gradients are limited.
public enum GradientClipping: Sendable, Hashable {
  /// Not at all.
  case none
  /// Each element to ±bound.
  case value(Double)
  /// Each weight's gradient g to g·min(1, bound / ‖g‖).
  case norm(Double)
  /// The same with the norm over all weights together.
  case globalNorm(Double)

  static func scale(_ norm: Double, _ bound: Double) -> Double { norm > bound ? bound / norm : 1 }
}

extension Tensor {
  /// Copies the elements of a tensor of the same shape and type.
  func overwrite(with source: Tensor, name: @autoclosure () -> String) throws {
    guard source.spec == spec else {
      throw LaminaError(.weights, "expected \(name()) to be \(spec), found \(source.spec)")
    }
    withMutableBytes { target in source.withBytes { target.copyMemory(from: $0) } }
  }
}
