import Foundation
import Lamina
import LaminaTestSupport
import Testing

struct EnsembleTests {
  private static func trained(_ seed: UInt64, labels: [String] = ["a", "b", "c"]) throws -> Model {
    var options = TrainerTests.options(epochs: 1)
    options.seed = seed
    let trainer = try Trainer(
      model: network(seed: seed), data: Points(count: 48), options: options)
    try trainer.fit()
    let model = try trainer.makeModel()
    var metadata = model.metadata
    metadata.labels = labels
    return model.replacingMetadata(metadata)
  }

  @Test func probabilitiesAreAveraged() throws {
    let models = try (1...3).map { try Self.trained($0) }
    let data = Points(count: 50, seed: 9)
    var seen: [Int] = []
    let result = try Ensemble(models).evaluate([data], batchSize: 16) { member, items in
      seen.append(member * 1000 + items)
    }
    #expect(seen == [16, 32, 48, 50, 1016, 1032, 1048, 1050, 2016, 2032, 2048, 2050])
    var loss = 0.0
    var correct = 0
    for index in 0..<50 {
      let batch = try data.batch([index], epoch: 0)
      let input = try #require(batch.inputs)
      var mean = [0.0, 0.0, 0.0]
      for model in models {
        let scores = try #require(try Session(model: model).run([input]).first)
          .elements(as: Float.self).map(Double.init)
        let sum = scores.reduce(0) { $0 + exp($1) }
        for k in 0..<3 { mean[k] += exp(scores[k]) / sum / 3 }
      }
      loss -= log(mean[index % 3]) / 50
      if mean.max() == mean[index % 3] { correct += 1 }
    }
    #expect(abs(result.ensemble.score.loss - loss) < 1e-5)
    #expect(result.ensemble.score.correctCount == correct)
    #expect(result.ensemble.confusion.accuracy == Double(correct) / 50)
    for (model, score) in zip(models, result.members) {
      let alone = try model.evaluate(data)
      #expect(score.correctCount == alone.correctCount && abs(score.loss - alone.loss) < 1e-9)
      #expect(try Classification(model, data).score == score)
    }
    let mistakes = result.ensemble.mistakes
    #expect(mistakes.count == min(50 - correct, 24))
    #expect(
      zip(mistakes, mistakes.dropFirst()).allSatisfy { $0.labelProbability <= $1.labelProbability })
  }

  @Test(arguments: [false, true]) func aGraphThatEndsInSoftmaxGivesProbabilities(_ isSaid: Bool)
    throws
  {
    func model(endsInSoftmax: Bool) throws -> Model {
      var builder = GraphBuilder(name: "net", registry: .standard)
      let x = try builder.input("x", [.batch, .fixed(2)])
      let scores = try builder.add("lamina.dense", "head", x, attributes: ["out_features": 3])
      let end = endsInSoftmax ? try builder.add("lamina.softmax", "softmax", scores) : scores
      try builder.output(end, name: "output")
      var metadata = ModelMetadata()
      if isSaid { metadata.outputKind = endsInSoftmax ? .probabilities : .logits }
      return try Model(
        initializing: builder.graph, seed: 4, metadata: metadata, registry: .standard)
    }
    let data = Points(count: 30)
    let logits = try Classification(model(endsInSoftmax: false), data)
    let probabilities = try Classification(model(endsInSoftmax: true), data)
    #expect(probabilities.confusion == logits.confusion)
    #expect(abs(probabilities.score.loss - logits.score.loss) < 1e-6)
    #expect(logits.score.loss != 0)
    #expect(
      try abs(
        Classification(model(endsInSoftmax: false), data).score.loss
          - model(endsInSoftmax: false).evaluate(data).loss) < 1e-9)
  }

  @Test func othersAreNoMembers() throws {
    let model = try Self.trained(1)
    expectError(.argument, "expected at least two models, found 1") { try Ensemble([model]) }
    expectError(
      .argument,
      "expected the labels of the first model, found label 1 'x\\x0a' instead of 'b'",
      path: "model 2"
    ) { try Ensemble([model, Self.trained(2, labels: ["a", "x\n", "c"])]) }
    expectError(
      .argument, "expected the labels of the first model, found 2 labels instead of 3",
      path: "model 3"
    ) { try Ensemble([model, model, Self.trained(2, labels: ["a", "b"])]) }
    let pair = try Ensemble([model, model])
    expectError(.argument, "expected data for 2 models, found 3") {
      try pair.evaluate([Points(count: 3), Points(count: 3), Points(count: 3)])
    }
    expectError(.argument, "expected the items of the first model, found others", path: "model 2") {
      try pair.evaluate([Points(count: 6), Points(count: 5)])
    }
    expectError(.argument, "expected the items of the first model, found more", path: "model 2") {
      try pair.evaluate([Points(count: 5), Points(count: 6)])
    }
    expectError(.argument, "expected items to evaluate, found none") {
      try pair.evaluate([Points(count: 0)])
    }
  }
}
