import Foundation
import Lamina
import LaminaTestSupport
import Testing

struct LearningRateSearchTests {
  @Test func aRateThatLearnsIsFound() throws {
    let model = try network()
    let data = Points(count: 240)
    var options = TrainerTests.options(epochs: 3)
    options.optimizer = SGD(momentum: 0.9)
    var steps = 0
    let search = try LearningRateSearch(model: model, data: data, options: options) {
      steps = $0
      return true
    }
    #expect(steps == search.points.count)
    #expect(search.points.count > 50)
    #expect(search.points[0].rate == 1e-7)
    #expect(abs(search.points[50].rate / (1e-7 * pow(1e8, 50.0 / 99)) - 1) < 1e-9)
    let rate = try #require(search.suggestion)
    #expect(rate > 1e-5 && rate < 1)
    options.optimizer.learningRate = rate
    let trainer = try Trainer(model: model, data: data, options: options)
    try trainer.fit()
    let losses = trainer.history.compactMap { $0["loss"] }
    #expect(try #require(losses.last) < #require(losses.first))
    expectError(.cancelled, "the search was stopped") {
      try LearningRateSearch(model: model, data: data, options: options) { $0 < 3 }
    }
    expectError(
      .argument, "expected rates above 0 that rise in 2 steps or more, found 1.0 to 0.1"
    ) { try LearningRateSearch(model: model, data: data, options: options, from: 1, to: 0.1) }
  }

  @Test func frozenParametersKeepTheirChecksum() throws {
    let model = try network()
    var training = TrainingOptions()
    training.frozen = ["norm", "first"]
    let trainer = try Trainer(
      model: model, data: Points(count: 48), options: TrainerTests.options(), training: training)
    try trainer.fit()
    let trained = try trainer.makeModel()
    func isFrozen(_ key: String) -> Bool { !key.hasPrefix("head") }
    #expect(model.checksum(where: isFrozen).count == 8)
    #expect(trained.checksum(where: isFrozen) == model.checksum(where: isFrozen))
    #expect(trained.checksum { !isFrozen($0) } != model.checksum { !isFrozen($0) })
  }
}
