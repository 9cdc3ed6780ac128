// Fits a trained model to a folder of pictures, a folder for each class: the new last layer learns alone for five
// epochs, then everything for three.
//
//     swift run -c release FineTune MODEL PICTURES RESULT

import Lamina

/// Prints a line behind each epoch.
final class Lines: TrainingCallback {
  let phase: FineTuningPhase

  init(_ phase: FineTuningPhase) { self.phase = phase }

  func epochEnds(_ trainer: Trainer, _ logs: TrainingLogs) {
    let numbers = ["loss", "val_loss", "val_accuracy"].compactMap { name in
      logs[name].map { "\(name) \($0)" }
    }
    print(phase.rawValue, trainer.epoch + 1, numbers.joined(separator: "  "))
  }
}

let words = CommandLine.arguments
guard words.count == 4 else { throw LaminaError(.argument, "expected MODEL PICTURES RESULT") }
let pool = ThreadPool()
let trained = try ModelFile.load(path: words[1], registry: .standard)
guard let preprocessing = trained.metadata.preprocessing else {
  throw LaminaError(.unsupported, "the model does not say how pictures become its input")
}
let pictures = try ImageSets(path: words[2], broken: .skip, pool: pool)
for broken in pictures.broken { print("left out: \(broken.name): \(broken.reason)") }
let data = ImageTrainingData(ImagePipeline(pictures.training, preprocessing), pool: pool)
let validation = pictures.validation.map {
  ImageTrainingData(ImagePipeline($0, preprocessing), pool: pool)
}
let result = try trained.fineTuning(
  to: pictures.training.classNames, on: data, validation: validation, pool: pool,
  callbacks: { [Lines($0)] })
try ModelFile.save(result.model, to: words[3])
print("wrote", words[3])
