import Foundation
import Lamina
import LaminaTestSupport
import Testing

struct TrainerTests {
  static func options(epochs: Int = 3, batchSize: Int = 16) -> TrainerOptions {
    var options = TrainerOptions()
    options.optimizer = SGD(learningRate: 0.1, momentum: 0.9)
    options.batchSize = batchSize
    options.epochs = epochs
    options.seed = 3
    return options
  }

  static func learned(_ trainer: Trainer) -> [String: [Float]] {
    var result: [String: [Float]] = [:]
    for parameter in trainer.session.weights + trainer.session.buffers {
      result[parameter.key] = parameter.value.elements(as: Float.self)
    }
    return result
  }

  @Test func separablePointsAreLearned() throws {
    let data = Points(count: 240)
    for (optimizer, epochs) in [
      (SGD(learningRate: 0.1, momentum: 0.9) as any Optimizer, 5), (Adam(learningRate: 0.02), 5),
      (RMSProp(learningRate: 0.01), 5), (Nadam(learningRate: 0.02), 5),
    ] {
      var options = Self.options(epochs: epochs)
      options.optimizer = optimizer
      let trainer = try Trainer(
        model: network(), data: data, validation: Points(count: 90, seed: 11), options: options)
      let before = try network().evaluate(data)
      #expect(before.accuracy ?? 1 < 0.8)
      var last: TrainingProgress?
      let ending = try trainer.fit {
        last = $0
        return true
      }
      #expect(ending == .completed)
      #expect(trainer.history.count == epochs)
      #expect(last?.batch == 15)
      #expect(last?.epoch == epochs - 1)
      let logs = try #require(trainer.history.last)
      #expect(Set(logs.keys) == ["loss", "accuracy", "learning_rate", "val_loss", "val_accuracy"])
      #expect(logs["val_accuracy"] ?? 0 > 0.97)
      #expect(logs["val_loss"] ?? 1 < 0.2)
      let after = try trainer.makeModel().evaluate(data)
      #expect(after.accuracy ?? 0 > 0.97)
      #expect(after.count == 240)
      #expect(try trainer.makeModel().parameters["norm.mean"]?.elements(as: Float.self) != [0])
    }
  }

  @Test func aSeedDecidesEverything() throws {
    func run(seed: UInt64, threads: Int) throws -> [String: [Float]] {
      var options = Self.options()
      options.seed = seed
      options.accumulatedBatches = 2
      options.clipping = .globalNorm(0.5)
      let trainer = try Trainer(
        model: network(), data: Points(count: 50, jitters: true), options: options,
        pool: ThreadPool(threads: threads))
      try trainer.fit()
      return Self.learned(trainer)
    }
    let first = try run(seed: 1, threads: 1)
    #expect(try run(seed: 1, threads: 2) == first)
    #expect(try run(seed: 2, threads: 1) != first)
  }

  @Test func everyItemComesOnceAnEpoch() throws {
    final class Recorder: TrainingData, @unchecked Sendable {
      var batches: [(epoch: Int, indices: [Int])] = []
      var announced: [[Int]] = []
      let count = 21
      let fingerprint = ""
      func batch(_ indices: [Int], epoch: Int) throws -> Batch {
        batches.append((epoch, indices))
        return try Points(count: count).batch(indices, epoch: epoch)
      }
      func prefetch(_ indices: [Int], epoch: Int) { announced.append(indices) }
    }
    var options = Self.options(epochs: 2, batchSize: 8)
    let data = Recorder()
    try Trainer(model: network(), data: data, options: options).fit()
    #expect(data.batches.map(\.indices.count) == [8, 8, 5, 8, 8, 5])
    let epochs = (0..<2).map { epoch in
      data.batches.filter { $0.epoch == epoch }.flatMap(\.indices)
    }
    #expect(epochs.allSatisfy { $0.sorted() == Array(0..<21) })
    #expect(epochs[0] != epochs[1])
    #expect(epochs[0] != Array(0..<21))
    #expect(data.announced == [1, 2, 4, 5].map { data.batches[$0].indices } + [[]])
    options.dropsPartialBatch = true
    options.shuffles = false
    let other = Recorder()
    try Trainer(model: network(), data: other, options: options).fit()
    #expect(
      other.batches.map(\.indices) == [0..<8, 8..<16, 0..<8, 8..<16].map(Array.init))
  }

  @Test func accumulatedBatchesAreOneStep() throws {
    func run(_ batchSize: Int, _ accumulated: Int) throws -> (Trainer, [String: [Float]]) {
      var options = Self.options(epochs: 1, batchSize: batchSize)
      options.accumulatedBatches = accumulated
      options.shuffles = false
      var training = TrainingOptions()
      training.frozen = ["drop", "norm"]
      let trainer = try Trainer(
        model: network(), data: Points(count: 48), options: options, training: training)
      try trainer.fit()
      return (trainer, Self.learned(trainer))
    }
    let (whole, expected) = try run(24, 1)
    let (parts, found) = try run(8, 3)
    #expect(whole.optimizer.step == 2)
    #expect(parts.optimizer.step == 2)
    for (key, expected) in expected {
      for (found, expected) in zip(found[key] ?? [], expected) {
        #expect(abs(found - expected) < 1e-5)
      }
    }
  }

  @Test func auxiliaryHeadsTrainAndAreNotEvaluated() throws {
    let model = try network(auxiliary: true)
    let data = Points(count: 32)
    var options = Self.options(epochs: 1, batchSize: 32)
    options.shuffles = false
    options.optimizer = SGD(learningRate: 0)
    var training = TrainingOptions()
    training.frozen = ["drop"]
    let trainer = try Trainer(model: model, data: data, options: options, training: training)
    try trainer.fit()
    let main = try model.evaluate(data).loss
    let both = try model.evaluate(
      data,
      losses: [
        LossTerm("output", SoftmaxCrossEntropy()),
        LossTerm("aux1", SoftmaxCrossEntropy(), weight: 0.3),
      ]
    ).loss
    #expect(abs((trainer.history[0]["loss"] ?? 0) - both) < 1e-6)
    #expect(both > main + 0.01)
    let auxiliary = try #require(trainer.session.weights.first { $0.key == "aux.weight" })
    #expect(auxiliary.update.elements(as: Float.self).contains { $0 != 0 })
    // A term by one output leaves the other's gradient at zero.
    options.losses = [LossTerm("output", SoftmaxCrossEntropy())]
    let single = try Trainer(model: model, data: data, options: options, training: training)
    try single.fit()
    let still = try #require(single.session.weights.first { $0.key == "aux.weight" })
    #expect(still.update.elements(as: Float.self).allSatisfy { $0 == 0 })
    options.losses = [LossTerm("logits", SoftmaxCrossEntropy())]
    expectError(.argument, "no output is named 'logits': output, aux1") {
      try Trainer(model: model, data: data, options: options)
    }
  }

  @Test func nothingThatIsNotFiniteReachesWeights() throws {
    var data = Points(count: 40)
    data.broken = 17
    for broken in [false, true] {
      var options = Self.options(epochs: 1, batchSize: 8)
      options.shuffles = false
      let trainer = try Trainer(
        model: network(), data: broken ? data : Points(count: 16), options: options)
      let ending = try trainer.fit()
      // Two batches before the one with the item that is no number.
      #expect(ending == (broken ? .notFinite : .completed))
      #expect(trainer.optimizer.step == 2)
      #expect(
        trainer.messages == (broken ? ["epoch 1, batch 3: loss nan, training ends"] : []))
      let clean = try Trainer(model: network(), data: Points(count: 16), options: options)
      try clean.fit()
      #expect(Self.learned(trainer) == Self.learned(clean))
    }
    var options = Self.options(epochs: 2, batchSize: 8)
    options.shuffles = false
    options.nonFinite = .skip
    let trainer = try Trainer(model: network(), data: data, options: options)
    #expect(try trainer.fit() == .completed)
    #expect(trainer.optimizer.step == 8)
    #expect(
      trainer.messages == [1, 2].map { "epoch \($0), batch 3: loss nan, left out" })
    #expect(trainer.history.allSatisfy { $0["loss"]?.isFinite == true })
    #expect(Self.learned(trainer).values.joined().allSatisfy { $0.isFinite })
    let watched = try Trainer(
      model: network(), data: data, options: options, callbacks: [TerminateOnNaN()])
    #expect(try watched.fit() == .stopped(by: "TerminateOnNaN"))
    #expect(watched.optimizer.step == 2)
  }

  @Test func rollbacksGoBackToTheStartOfTheEpoch() throws {
    var data = Points(count: 40)
    data.broken = 17
    var options = Self.options(epochs: 1, batchSize: 8)
    options.shuffles = false
    options.nonFinite = .rollback
    let trainer = try Trainer(model: network(), data: data, options: options)
    var steps: [Int] = []
    #expect(
      try trainer.fit { _ in
        steps.append(trainer.optimizer.step)
        return true
      } == .completed)
    #expect(steps == [1, 2, 0, 1, 2])
    #expect(trainer.learningRateScale == 0.5)
    #expect(
      trainer.messages == [
        "epoch 1, batch 3: loss nan, back to step 0 at half the learning rate"
      ])
  }

  /// Makes weights infinite in its steps from `first` on.
  private struct Exploding: Optimizer {
    var learningRate = 0.25
    var weightDecay = WeightDecay.none
    var stateNames: [String] { [] }
    var first: Int
    func update(_ call: OptimizerCall) {
      if call.step >= first { call.value.floats[0] = .infinity }
    }
  }

  @Test func weightsThatOverflowAreAnErrorOrTakenBack() throws {
    var options = Self.options(epochs: 1, batchSize: 8)
    options.optimizer = Exploding(first: 2)
    expectError(.state, "weights overflowed in step 2 with learning rate 0.25") {
      try Trainer(model: network(), data: Points(count: 40), options: options).fit()
    }
    options.nonFinite = .rollback
    options.optimizer = Exploding(first: 1)
    let trainer = try Trainer(model: network(), data: Points(count: 40), options: options)
    let before = Self.learned(trainer)
    #expect(try trainer.fit() == .notFinite)
    #expect(Self.learned(trainer) == before)
    #expect(trainer.messages.count == 4)
    #expect(
      trainer.messages.first
        == "epoch 1, batch 1: a gradient, statistic or weight that is not finite, back to step 0 at half the learning rate"
    )
  }

  @Test func accuracyCountsClasses() throws {
    struct Labeled: TrainingData {
      let points = Points(count: 12)
      let label: @Sendable (Int) -> Labels
      var count: Int { points.count }
      var fingerprint: String { "" }
      func batch(_ indices: [Int], epoch: Int) throws -> Batch {
        var batch = try points.batch(indices, epoch: epoch)
        batch.labels = [label(indices.count)]
        return batch
      }
    }
    func score(_ loss: any Loss, _ label: @escaping @Sendable (Int) -> Labels) throws
      -> TrainingScore
    {
      try network().evaluate(
        Labeled(label: label), losses: [LossTerm("output", loss)], batchSize: 12)
    }
    let classes = try Session(model: network())
      .run([#require(Points(count: 12).batch(Array(0..<12), epoch: 0).inputs).view])[0]
    let elements = classes.elements(as: Float.self)
    let predicted = (0..<12).map { row in
      (0..<3).max { elements[row * 3 + $0] < elements[row * 3 + $1] } ?? 0
    }
    let wrong = predicted.enumerated().map { $0 < 4 ? ($1 + 1) % 3 : $1 }
    #expect(try score(SoftmaxCrossEntropy()) { _ in .classes(wrong) }.accuracy == 8.0 / 12)
    let mixed = try Tensor(
      [12, 3], wrong.flatMap { k in (0..<3).map { Float($0 == k ? 0.8 : 0.1) } })
    #expect(try score(SoftmaxCrossEntropy()) { _ in .values(mixed) }.accuracy == 8.0 / 12)
    #expect(try score(MeanSquaredError()) { _ in .values(mixed) }.accuracy == nil)
  }

  @Test func averagesAreWhatIsSaved() throws {
    var options = Self.options(epochs: 4)
    options.averageDecay = 0.9
    let trainer = try Trainer(model: network(), data: Points(count: 96), options: options)
    try trainer.fit()
    let model = try trainer.makeModel()
    let average = try #require(trainer.average)
    for (weight, tensor) in zip(trainer.session.weights, average.tensors) {
      let saved = try #require(model.parameters[weight.key]).elements(as: Float.self)
      #expect(saved == tensor.elements(as: Float.self))
      #expect(saved != weight.value.elements(as: Float.self))
    }
    #expect(try model.evaluate(Points(count: 96)).accuracy ?? 0 > 0.9)
  }

  @Test func featuresTrainAsTheirInputs() throws {
    final class Features: TrainingData, @unchecked Sendable {
      let points = Points(count: 32)
      let session: TrainingSession
      init(_ session: TrainingSession) { self.session = session }
      var count: Int { points.count }
      var fingerprint: String { "" }
      func batch(_ indices: [Int], epoch: Int) throws -> Batch {
        let batch = try points.batch(indices, epoch: epoch)
        guard case .inputs(let inputs) = batch.content else { return batch }
        return Batch(
          features: try session.features(of: inputs.map(\.view)), of: inputs.map(\.spec),
          labels: batch.labels)
      }
    }
    var training = TrainingOptions()
    training.frozen = ["norm", "first", "drop"]
    let session = try TrainingSession(model: network(), options: training)
    let results = try [Features(session) as any TrainingData, Points(count: 32)].map {
      let trainer = try Trainer(
        model: network(), data: $0, options: Self.options(), training: training)
      try trainer.fit()
      return Self.learned(trainer)
    }
    #expect(results[0] == results[1])
  }

  @Test func whatMakesNoSenseIsRefused() throws {
    func text(_ change: (inout TrainerOptions) -> Void, count: Int = 8) -> String? {
      var options = Self.options()
      change(&options)
      do {
        let trainer = try Trainer(model: network(), data: Points(count: count), options: options)
        try trainer.fit()
        return nil
      } catch { return "\(error)" }
    }
    #expect(text { _ in } == nil)
    #expect(text { $0.batchSize = 0 } == "expected batch size from 1, found 0")
    #expect(text { $0.epochs = 0 } == "expected epochs from 1, found 0")
    #expect(
      text { $0.accumulatedBatches = 0 } == "expected accumulated batches from 1, found 0")
    #expect(text({ _ in }, count: 0) == "expected items from 1, found 0")
    #expect(
      text { $0.dropsPartialBatch = true } == "expected at least one batch of 16, found 8 items")
    #expect(
      text { $0.losses = [LossTerm("output", MeanSquaredError())] }
        == "output output: expected values as labels, found classes")
  }
}
