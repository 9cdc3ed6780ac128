// Trains a small network with a layer of the target Gates, which learns that one of two channels is noise.
//
//     swift run custom-layer

import Gates
import Lamina

/// Two channels of 4 × 4: the first is bright on the side that the label says, the second is loud noise.
struct Sides: TrainingData {
  let count = 256
  let fingerprint = "sides"

  func batch(_ indices: [Int], epoch: Int) throws -> Batch {
    let classes = indices.map { $0 % 2 }
    var pixels: [Float] = []
    for (index, side) in zip(indices, classes) {
      let random = CounterRandom(seed: UInt64(index))
      for position in 0..<16 {
        pixels.append((position % 4 / 2 == side ? 1 : 0) + 0.1 * random.normal(UInt64(position)))
      }
      pixels += (16..<32).map { 3 * random.normal($0) }
    }
    return try Batch([Tensor([indices.count, 2, 4, 4], pixels)], labels: [.classes(classes)])
  }
}

var registry = LayerRegistry.standard
try registry.registerGates()

var builder = GraphBuilder(name: "sides", registry: registry)
let image = try builder.input("image", [.batch, 2, 4, 4])
let gated = try builder.add("com.example.channel_gate", "gate", image)
let flat = try builder.add("lamina.flatten", "flatten", gated)
try builder.output(
  builder.add("lamina.dense", "classify", flat, attributes: ["out_features": 2]), name: "logits")
let model = try Model(initializing: builder.graph, seed: 1, registry: registry)

var options = TrainerOptions()
options.optimizer = Adam(learningRate: 0.02)
options.epochs = 10
let trainer = try Trainer(model: model, data: Sides(), options: options)
_ = try trainer.fit()

let trained = try trainer.makeModel()
let gates = trained.parameters["gate.weight"]?.elements(as: Float.self) ?? []
print("the signal's gate is wider than the noise's:", gates[0] > gates[1])
let batch = try Sides().batch(Array(0..<256), epoch: 0)
if case .inputs(let inputs) = batch.content {
  let logits = try Session(model: trained).run(inputs)[0].elements(as: Float.self)
  let right = (0..<256).count { (logits[2 * $0 + 1] > logits[2 * $0]) == ($0 % 2 == 1) }
  print("right: \(right) of 256")
}
