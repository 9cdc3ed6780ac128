import Foundation
import Lamina
import LaminaTestSupport
import Testing

struct OptimizerTests {
  /// Weights whose counts are no multiples of a vector; the last is above what one task updates.
  private static func session(threads: Int = 2, hidden: Int = 11) throws -> TrainingSession {
    var options = TrainingOptions()
    options.threads = threads
    return try TrainingSession(model: network(hidden: hidden), options: options)
  }

  private static func gradient(_ step: Int, _ weight: Int, _ index: Int) -> Float {
    let random = CounterRandom(seed: UInt64(step), name: "gradient\(weight)")
    return random.normal(UInt64(index)) * (index % 5 == 0 ? 10 : 0.5)
  }

  private static func setGradients(_ session: TrainingSession, _ step: Int) {
    for (number, weight) in session.weights.enumerated() {
      weight.update.withMutableElements(of: Float.self) { elements in
        for index in elements.indices { elements[index] = gradient(step, number, index) }
      }
    }
  }

  /// Five steps of `optimizer`, and of `rule` in double precision: what becomes of one weight w by its gradient g in
  /// step t, with a memory of its own.
  private func expectSteps(
    _ optimizer: any Optimizer, rates: [Double], tolerance: Double = 2e-6,
    sourceLocation: SourceLocation = #_sourceLocation,
    _ rule: (_ w: inout Double, _ g: Double, _ rate: Double, _ t: Double, _ memory: inout [Double])
      -> Void
  ) throws {
    let session = try Self.session()
    let state = try OptimizerState(optimizer, for: session)
    var expected = session.weights.map { $0.value.elements(as: Float.self).map(Double.init) }
    var memory = expected.map { $0.map { _ in [Double](repeating: 0, count: 3) } }
    for (step, rate) in rates.enumerated() {
      Self.setGradients(session, step)
      state.update(learningRate: rate)
      for number in expected.indices {
        for index in expected[number].indices {
          rule(
            &expected[number][index], Double(Self.gradient(step, number, index)), rate,
            Double(step + 1), &memory[number][index])
        }
      }
    }
    for (weight, expected) in zip(session.weights, expected) {
      for (found, expected) in zip(weight.value.elements(as: Float.self), expected)
      where !(abs(Double(found) - expected) <= tolerance * max(1, abs(expected))) {
        Issue.record(
          "\(weight.key): expected \(expected), found \(found)", sourceLocation: sourceLocation)
        return
      }
    }
  }

  private static let rates = [0.1, 0.1, 0.05, 0.2, 0.01]

  @Test func sgd() throws {
    try expectSteps(SGD(), rates: Self.rates) { w, g, rate, _, _ in w -= rate * g }
    for nesterov in [false, true] {
      // torch.optim.SGD, its documentation's algorithm.
      try expectSteps(
        SGD(momentum: 0.9, nesterov: nesterov, weightDecay: .coupled(0.1)), rates: Self.rates
      ) { w, g, rate, t, memory in
        let g = g + 0.1 * w
        memory[0] = t == 1 ? g : 0.9 * memory[0] + g
        w -= rate * (nesterov ? g + 0.9 * memory[0] : memory[0])
      }
      // keras.optimizers.SGD, its documentation's update rule.
      try expectSteps(
        SGD(momentum: 0.9, nesterov: nesterov, weightDecay: .decoupled(0.1), convention: .keras),
        rates: Self.rates
      ) { w, g, rate, _, velocity in
        w -= w * 0.1 * rate
        velocity[0] = 0.9 * velocity[0] - rate * g
        w = nesterov ? w + 0.9 * velocity[0] - rate * g : w + velocity[0]
      }
    }
  }

  @Test func rmsProp() throws {
    for momentum in [0, 0.9] {
      for isCentered in [false, true] {
        // torch.optim.RMSprop.
        try expectSteps(
          RMSProp(
            momentum: momentum, isCentered: isCentered, weightDecay: .coupled(0.01),
            convention: .pyTorch), rates: Self.rates, tolerance: 2e-4
        ) { w, g, rate, _, memory in
          let g = g + 0.01 * w
          memory[0] = 0.99 * memory[0] + 0.01 * g * g
          var v = memory[0]
          if isCentered {
            memory[1] = 0.99 * memory[1] + 0.01 * g
            v -= memory[1] * memory[1]
          }
          memory[2] = momentum * memory[2] + g / (v.squareRoot() + 1e-8)
          w -= rate * memory[2]
        }
        // keras.optimizers.RMSprop.
        try expectSteps(
          RMSProp(momentum: momentum, isCentered: isCentered), rates: Self.rates, tolerance: 2e-4
        ) { w, g, rate, _, memory in
          memory[0] = 0.9 * memory[0] + 0.1 * g * g
          var v = memory[0] + 1e-7
          if isCentered {
            memory[1] = 0.9 * memory[1] + 0.1 * g
            v -= memory[1] * memory[1]
          }
          memory[2] = momentum * memory[2] + rate * g / v.squareRoot()
          w -= memory[2]
        }
      }
    }
  }

  @Test func adam() throws {
    // torch.optim.Adam and AdamW.
    for isDecoupled in [false, true] {
      let optimizer =
        isDecoupled ? Adam.adamW(weightDecay: 0.1) : Adam(weightDecay: .coupled(0.1))
      try expectSteps(optimizer, rates: Self.rates, tolerance: 2e-5) { w, g, rate, t, memory in
        if isDecoupled { w -= rate * 0.1 * w }
        let g = isDecoupled ? g : g + 0.1 * w
        memory[0] = 0.9 * memory[0] + 0.1 * g
        memory[1] = 0.999 * memory[1] + 0.001 * g * g
        let m = memory[0] / (1 - pow(0.9, t))
        let v = memory[1] / (1 - pow(0.999, t))
        w -= rate * m / (v.squareRoot() + 1e-8)
      }
    }
    // keras.optimizers.Adam; a large ε tells where it stands.
    try expectSteps(
      Adam(epsilon: 0.3, convention: .keras), rates: Self.rates, tolerance: 2e-5
    ) { w, g, rate, t, memory in
      let alpha = rate * (1 - pow(0.999, t)).squareRoot() / (1 - pow(0.9, t))
      memory[0] += (g - memory[0]) * (1 - 0.9)
      memory[1] += (g * g - memory[1]) * (1 - 0.999)
      w -= memory[0] * alpha / (memory[1].squareRoot() + 0.3)
    }
  }

  @Test func nadam() throws {
    // torch.optim.NAdam and keras.optimizers.Nadam.
    for (convention, exponent, epsilon) in [
      (Convention.pyTorch, 0.004, 1e-8), (.keras, 1, 1e-7),
    ] {
      try expectSteps(
        Nadam(convention: convention), rates: Self.rates, tolerance: 2e-5
      ) { w, g, rate, t, memory in
        func mu(_ t: Double) -> Double { 0.9 * (1 - 0.5 * pow(0.96, t * exponent)) }
        if t == 1 { memory[2] = 1 }
        memory[2] *= mu(t)
        memory[0] = 0.9 * memory[0] + 0.1 * g
        memory[1] = 0.999 * memory[1] + 0.001 * g * g
        let root = (memory[1] / (1 - pow(0.999, t))).squareRoot() + epsilon
        w -= rate * (1 - mu(t)) / (1 - memory[2]) * g / root
        w -= rate * mu(t + 1) / (1 - memory[2] * mu(t + 1)) * memory[0] / root
      }
    }
  }

  @Test func everyThreadCountGivesTheSameBits() throws {
    for optimizer: any Optimizer in [
      SGD(momentum: 0.9, nesterov: true), RMSProp(momentum: 0.9, isCentered: true), Adam(), Nadam(),
    ] {
      let results = try [1, 2].map { threads in
        let session = try Self.session(threads: threads, hidden: 20_001)
        let state = try OptimizerState(optimizer, for: session)
        for step in 0..<2 {
          Self.setGradients(session, step)
          state.update(clipping: .globalNorm(1))
        }
        return session.weights.map { $0.value.elements(as: Float.self) } + [[Float(state.step)]]
      }
      #expect(results[0] == results[1])
    }
  }

  @Test func rulesGiveWeightsRatesOfTheirOwn() throws {
    let session = try Self.session()
    let before = session.weights.map { $0.value.elements(as: Float.self) }
    let state = try OptimizerState(
      SGD(learningRate: 0.5, weightDecay: .decoupled(0.1)), for: session,
      rules: [
        ParameterRule("*.bias", weightDecay: WeightDecay.none),
        ParameterRule("first.*", learningRateFactor: 0.1),
      ])
    Self.setGradients(session, 1)
    state.update()
    for (number, weight) in session.weights.enumerated() {
      let rate: Float = weight.key.hasPrefix("first.") ? 0.05 : 0.5
      let shrinking: Float = weight.key.hasSuffix(".bias") ? 1 : 1 - rate * 0.1
      for (index, found) in weight.value.elements(as: Float.self).enumerated() {
        let expected =
          before[number][index] * shrinking - rate * Self.gradient(1, number, index)
        #expect(abs(found - expected) < 1e-5)
      }
    }
    expectError(.argument, "no weight that learns matches 'layer1.*'") {
      try OptimizerState(SGD(), for: session, rules: [ParameterRule("layer1.*")])
    }
    let rules = ParameterRule.geometric([["a"], ["b", "c"], ["d"]], lowest: 0.01)
    #expect(rules.map(\.pattern.text) == ["a", "b", "c", "d"])
    for (rule, factor) in zip(rules, [0.01, 0.1, 0.1, 1]) {
      #expect(abs((rule.learningRateFactor ?? 0) - factor) < 1e-12)
    }
  }

  @Test func gradientsAreClipped() throws {
    func steps(_ clipping: GradientClipping, scale: Double = 1) throws -> [[Double]] {
      let session = try Self.session()
      let before = session.weights.map { $0.value.elements(as: Float.self) }
      Self.setGradients(session, 1)
      let state = try OptimizerState(SGD(learningRate: 1), for: session)
      state.update(gradientScale: scale, clipping: clipping)
      return zip(session.weights, before).map { weight, before in
        zip(weight.value.elements(as: Float.self), before).map { Double($1) - Double($0) }
      }
    }
    let gradients = try Self.session().weights.enumerated().map { number, weight in
      (0..<weight.value.shape.count).map { Double(Self.gradient(1, number, $0)) / 2 }
    }
    func norm(_ numbers: [Double]) -> Double {
      numbers.reduce(0) { $0 + $1 * $1 }.squareRoot()
    }
    func expect(_ found: [[Double]], _ expected: [[Double]]) {
      for (found, expected) in zip(found.joined(), expected.joined()) {
        #expect(abs(found - expected) < 1e-5)
      }
    }
    expect(try steps(.none, scale: 0.5), gradients)
    expect(
      try steps(.value(0.4), scale: 0.5), gradients.map { $0.map { min(max($0, -0.4), 0.4) } })
    expect(
      try steps(.norm(0.7), scale: 0.5),
      gradients.map { g in g.map { $0 * min(1, 0.7 / norm(g)) } })
    let total = norm(Array(gradients.joined()))
    expect(
      try steps(.globalNorm(3), scale: 0.5), gradients.map { $0.map { $0 * min(1, 3 / total) } })
    expect(try steps(.globalNorm(1e6), scale: 0.5), gradients)
  }

  @Test func normsAreFiniteExactlyWhenGradientsAre() throws {
    let session = try Self.session(hidden: 20_001)
    let state = try OptimizerState(SGD(), for: session)
    Self.setGradients(session, 1)
    let expected = session.weights.flatMap { $0.update.elements(as: Float.self) }
      .reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
    #expect(abs(state.gradientNorm() - expected) < 1e-9 * expected)
    for (weight, index) in [(0, 40_001), (1, 0), (2, 20_000), (3, 2)] {
      for value in [Float.nan, .infinity, -.infinity] {
        Self.setGradients(session, 1)
        session.weights[weight].update.withMutableElements(of: Float.self) { $0[index] = value }
        #expect(!state.gradientNorm().isFinite)
      }
    }
    session.weights[0].update.withMutableElements(of: Float.self) { $0[0] = 3e38 }
    session.weights[3].update.withMutableElements(of: Float.self) { $0[2] = 0 }
    #expect(state.gradientNorm().isFinite)
  }

  @Test func averagesFollowWeights() throws {
    let session = try Self.session()
    let average = try MovingAverage(decay: 0.9, of: session)
    var expected = session.weights.map { $0.value.elements(as: Float.self).map(Double.init) }
    let state = try OptimizerState(SGD(learningRate: 0.1), for: session)
    for step in 0..<4 {
      Self.setGradients(session, step)
      state.update()
      average.update()
      for (number, weight) in session.weights.enumerated() {
        for (index, w) in weight.value.elements(as: Float.self).enumerated() {
          expected[number][index] = 0.9 * expected[number][index] + 0.1 * Double(w)
        }
      }
    }
    for (found, expected) in zip(average.tensors, expected) {
      for (found, expected) in zip(found.elements(as: Float.self), expected) {
        #expect(abs(Double(found) - expected) < 1e-5)
      }
    }
    expectError(.argument, "expected a decay from 0 to below 1, found 1.0") {
      try MovingAverage(decay: 1, of: session)
    }
  }

  @Test func statesContinueElsewhere() throws {
    let first = try Self.session()
    let state = try OptimizerState(Nadam(), for: first)
    Self.setGradients(first, 0)
    state.update()
    let second = try Self.session()
    for (target, source) in zip(second.weights, first.weights) {
      target.value.withMutableElements(of: Float.self) { target in
        for (index, element) in source.value.elements(as: Float.self).enumerated() {
          target[index] = element
        }
      }
    }
    let other = try OptimizerState(Nadam(), for: second)
    var saved: [String: Tensor] = [:]
    for (weight, tensors) in zip(first.weights, state.tensors) {
      for (name, tensor) in zip(state.optimizer.stateNames, tensors) {
        saved["\(weight.key) \(name)"] = tensor
      }
    }
    try other.restore(step: state.step, numbers: state.numbers) { saved["\($0) \($1)"] }
    for (session, state) in [(first, state), (second, other)] {
      Self.setGradients(session, 1)
      state.update()
    }
    for (a, b) in zip(first.weights, second.weights) {
      #expect(a.value.elements(as: Float.self) == b.value.elements(as: Float.self))
    }
    expectError(.weights, "mean of 'first.weight' is missing") {
      try other.restore(step: 1, numbers: [1]) { _, _ in nil }
    }
    expectError(.argument, "expected 1 numbers of the optimizer, found 0") {
      try other.restore(step: 1, numbers: []) { _, _ in nil }
    }
  }
}
