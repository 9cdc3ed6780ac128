import Lamina

/// An input of a test case: a shape alone stands for `float32` numbers drawn from -1...1.
public struct TestInput: Sendable, ExpressibleByArrayLiteral {
  /// Extents.
  public var shape: Shape
  /// Element type.
  public var type: ElementType
  /// Where random elements come from.
  public var range: ClosedRange<Double>
  /// The elements, in place of random ones.
  public var values: [Double]?
  /// Whether the layer is told the value when planning.
  public var isKnown: Bool

  /// Random elements of `range`.
  public init(
    _ shape: Shape, _ type: ElementType = .float32, in range: ClosedRange<Double> = -1...1
  ) {
    self.shape = shape
    self.type = type
    self.range = range
    values = nil
    isKnown = false
  }

  /// Given elements.
  public init(
    _ shape: Shape, _ type: ElementType = .float32, _ values: [Double], known: Bool = false
  ) {
    self.init(shape, type)
    self.values = values
    isKnown = known
  }

  /// Random elements of -1...1.
  public init(arrayLiteral elements: Int...) {
    guard let shape = try? Shape(elements) else { preconditionFailure("invalid shape \(elements)") }
    self.init(shape)
  }

  /// A vector of integers (`int64`) that the layer is told when planning.
  public static func known(_ values: [Int]) -> TestInput {
    guard let shape = try? Shape([values.count]) else { preconditionFailure("too many values") }
    return TestInput(shape, .int64, values.map(Double.init), known: true)
  }

  /// The tensor; random elements depend on `seed`.
  public func makeTensor(seed: UInt64) throws -> Tensor {
    if let values { return try Tensor(shape, type, values) }
    return try Tensor(random: shape, type, in: range, seed: seed)
  }
}

/// What a naive reference is given.
public struct NaiveCall: Sendable {
  /// The node's attributes as the case states them.
  public var attributes: Attributes
  /// Inputs in order.
  public var inputs: [NaiveTensor]
  /// Parameters in the order of `parameters(for:)`.
  public var parameters: [NaiveTensor]
  /// Inferred specs of the outputs.
  public var outputs: [TensorSpec]
}

/// A layer evaluated the obvious way: one tensor for each output.
public typealias NaiveReference = @Sendable (NaiveCall) throws -> [NaiveTensor]

/// One row of a layer's table of cases.
public struct LayerCase: Sendable {
  /// Attributes of the node.
  public var attributes: Attributes
  /// Inputs in order.
  public var inputs: [TestInput]
  /// Elements of parameters by name; others are drawn from -1...1 or from `ranges`.
  public var parameters: [String: [Double]]
  /// Where random elements of a parameter come from: `["running_var": 0.5...2]`.
  public var ranges: [String: ClosedRange<Double>]
  /// The outputs, in place of a reference.
  public var expected: [NaiveTensor]?
  /// Largest difference from the reference, relative to the larger of 1 and the expected number. Integers and
  /// truth values must be equal.
  public var tolerance: Double
  /// The same for the prepared path; `tolerance` by default.
  public var preparedTolerance: Double
  /// Largest difference of gradients from finite differences.
  public var gradientTolerance: Double
  /// Step of the finite differences.
  public var gradientStep: Float
  /// Seed of random elements.
  public var seed: UInt64
  /// The reference, in place of the one given for all cases.
  public var reference: NaiveReference?

  /// A case.
  public init(
    _ attributes: Attributes, _ inputs: [TestInput], parameters: [String: [Double]] = [:],
    ranges: [String: ClosedRange<Double>] = [:], expected: [NaiveTensor]? = nil,
    tolerance: Double = 1e-5, preparedTolerance: Double? = nil, gradientTolerance: Double = 1e-2,
    gradientStep: Float = 0x1p-7, seed: UInt64 = 1, reference: NaiveReference? = nil
  ) {
    self.attributes = attributes
    self.inputs = inputs
    self.parameters = parameters
    self.ranges = ranges
    self.expected = expected
    self.tolerance = tolerance
    self.preparedTolerance = preparedTolerance ?? tolerance
    self.gradientTolerance = gradientTolerance
    self.gradientStep = gradientStep
    self.seed = seed
    self.reference = reference
  }

  /// A case without attributes.
  public init(
    _ inputs: [TestInput], parameters: [String: [Double]] = [:],
    ranges: [String: ClosedRange<Double>] = [:], expected: [NaiveTensor]? = nil,
    tolerance: Double = 1e-5, preparedTolerance: Double? = nil, gradientTolerance: Double = 1e-2,
    gradientStep: Float = 0x1p-7, seed: UInt64 = 1, reference: NaiveReference? = nil
  ) {
    self.init(
      [:], inputs, parameters: parameters, ranges: ranges, expected: expected,
      tolerance: tolerance, preparedTolerance: preparedTolerance,
      gradientTolerance: gradientTolerance, gradientStep: gradientStep, seed: seed,
      reference: reference)
  }

  var description: String {
    let specs = inputs.map {
      $0.type == .float32 ? "\($0.shape)" : "\($0.type.rawValue) \($0.shape)"
    }
    return attributes.json.text() + " " + specs.joined(separator: " ")
  }
}
