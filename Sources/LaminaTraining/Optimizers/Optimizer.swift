import LaminaCore
import LaminaKernels

/// A rule by which weights follow their gradients: a value without state. What it remembers of each weight lies in
/// tensors that `OptimizerState` keeps.
public protocol Optimizer: Sendable {
  /// The learning rate that schedules and factors multiply.
  var learningRate: Double { get set }
  /// How weights shrink.
  var weightDecay: WeightDecay { get set }
  /// Names of the tensors it keeps for each weight, each of the weight's shape, at first zeros.
  var stateNames: [String] { get }
  /// Numbers it keeps beside them, as they are before the first step. Default none.
  var initialNumbers: [Double] { get }
  /// Brings the numbers to step `step`, from 1, before any weight is updated. Default: nothing.
  func advance(_ numbers: inout [Double], to step: Int)
  /// Updates one weight.
  func update(_ call: OptimizerCall)
}

extension Optimizer {
  /// None.
  public var initialNumbers: [Double] { [] }
  /// Nothing.
  public func advance(_ numbers: inout [Double], to step: Int) {}
}

/// How weights shrink by themselves.
public enum WeightDecay: Sendable, Hashable {
  /// Not at all.
  case none
  /// λ·w is added to the gradient: the L2 penalty, PyTorch's `weight_decay` but in AdamW.
  case coupled(Double)
  /// w loses learning rate·λ·w at each step: AdamW, and Keras's `weight_decay`. (Loshchilov and Hutter 2019.)
  case decoupled(Double)
}

/// Whose formulas an optimizer follows, where they differ.
public enum Convention: String, Sendable, CaseIterable {
  case pyTorch, keras
}

/// One step of one weight.
public struct OptimizerCall {
  /// The weight, `float32`.
  public var value: MutableTensorView
  /// Its gradient.
  public var gradient: TensorView
  /// The optimizer's tensors for it.
  public var state: [MutableTensorView]
  /// The optimizer's numbers.
  public var numbers: [Double]
  /// The step, from 1.
  public var step: Int
  /// The learning rate of this weight in this step.
  public var learningRate: Double
  /// How this weight shrinks.
  public var weightDecay: WeightDecay
  /// What the gradient is multiplied by first.
  public var gradientScale: Double = 1
  /// The largest magnitude an element of the gradient keeps behind that.
  public var gradientBound: Double = .infinity
  /// Threads to run on.
  public var pool: ThreadPool

  /// What the kernels do before the rule.
  var decay: lk_decay {
    var decay = lk_decay(
      scale: Float(gradientScale), bound: Float(gradientBound), decay: 0, keep: 1)
    switch weightDecay {
    case .none: break
    case .coupled(let rate): decay.decay = Float(rate)
    case .decoupled(let rate): decay.keep = Float(1 - learningRate * rate)
    }
    return decay
  }
}
