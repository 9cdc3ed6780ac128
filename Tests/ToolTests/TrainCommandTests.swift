import Foundation
import Lamina
import Testing

/// MNIST's four files with pictures whose bright half tells the class, 0 or 1.
func writeDigits(to folder: TemporaryFolder, training: Int = 80, checking: Int = 40) throws {
  func bigEndian(_ number: Int) -> [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: number >> (24 - 8 * $0)) }
  }
  for (name, count, first) in [("train", training, 0), ("t10k", checking, training)] {
    var pixels: [UInt8] = []
    for index in first..<first + count {
      let random = CounterRandom(seed: 1, name: "\(index)")
      for place in 0..<64 {
        let isBright = (place % 8 < 4) == (index % 2 == 0)
        pixels.append(UInt8((isBright ? 150 : 20) + Int(80 * random.uniform(UInt64(place)))))
      }
    }
    let header = [0, 0, 8, 3] + bigEndian(count) + bigEndian(8) + bigEndian(8)
    _ = try folder.file("digits/\(name)-images-idx3-ubyte", header + pixels)
    let labels = (first..<first + count).map { UInt8($0 % 2) }
    _ = try folder.file(
      "digits/\(name)-labels-idx1-ubyte", [0, 0, 8, 1] + bigEndian(count) + labels)
  }
}

/// A folder with such files in `digits`.
func digits() throws -> TemporaryFolder {
  let folder = try TemporaryFolder()
  try FileManager.default.createDirectory(
    at: folder.url.appendingPathComponent("digits"), withIntermediateDirectories: false)
  try writeDigits(to: folder)
  return folder
}

@Suite struct TrainCommandTests {
  @Test func trainLearnsAndEvalMeasures() throws {
    let folder = try digits()
    let outcome = try Tool.run(
      "train", "lenet5", "digits", "-o", "a.safetensors", "--epochs", "4", "--batch", "8",
      in: folder.url)
    #expect(outcome.status == 0, "\(outcome.errors)")
    let lines = outcome.output.split(separator: "\n")
    #expect(lines.count == 5)
    #expect(lines[3].hasPrefix("epoch 4/4  loss 0."))
    #expect(lines[3].hasSuffix("val_accuracy 1.0000"))
    #expect(lines[4] == "wrote a.safetensors")
    let measured = try Tool.run("eval", "a.safetensors", "digits", in: folder.url)
    #expect(measured.output.hasPrefix("accuracy 1.0000  loss 0."))
    #expect(measured.output.hasSuffix("  40 pictures\n"))
  }

  @Test func seedsDecideEveryBit() throws {
    let folder = try digits()
    func train(_ name: String, _ seed: String, _ threads: String) throws -> Data {
      let outcome = try Tool.run(
        "train", "lenet5", "digits", "-o", name, "--epochs", "1", "--seed", seed, "--threads",
        threads, "--augment", in: folder.url)
      #expect(outcome.status == 0, "\(outcome.errors)")
      return try Data(contentsOf: folder.url.appendingPathComponent(name))
    }
    let first = try train("a", "1", "1")
    #expect(try train("b", "1", "2") == first)
    #expect(try train("c", "2", "2") != first)
  }

  @Test func checkpointsAreGoneOnWith() throws {
    let folder = try digits()
    func train(_ name: String, _ epochs: String, _ more: String...) throws -> Data {
      let words = ["train", "lenet5", "digits", "-o", name, "--epochs", epochs] + more
      let outcome = try Tool.run(words, in: folder.url)
      #expect(outcome.status == 0, "\(outcome.errors)")
      return try Data(contentsOf: folder.url.appendingPathComponent(name))
    }
    let whole = try train("whole", "3")
    _ = try train("part", "3", "--checkpoints", "saved")
    #expect(try train("again", "3", "--checkpoints", "saved") == whole)
  }

  @Test func finetuneTrainsTheHeadAndThenAll() throws {
    let folder = try digits()
    _ = try Tool.run(
      "train", "lenet5", "digits", "-o", "a.safetensors", "--epochs", "2", in: folder.url)
    let outcome = try Tool.run(
      "finetune", "a.safetensors", "digits", "-o", "b.safetensors", "--head-epochs", "3",
      "--epochs",
      "1", "--json", in: folder.url)
    #expect(outcome.status == 0, "\(outcome.errors)")
    let stages = try outcome.output.split(separator: "\n").map {
      try #require(
        try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])["stage"] as? String
    }
    #expect(stages == ["head", "head", "head", "all"])
    let measured = try Tool.run("eval", "b.safetensors", "digits", in: folder.url)
    #expect(measured.output.hasPrefix("accuracy 1.0000"))
  }

  @Test func frozenLayersKeepTheirBits() throws {
    let folder = try digits()
    let start = ["train", "lenet5", "digits", "-o"]
    for words in [
      start + ["a", "--epochs", "1"], start + ["b", "--epochs", "1", "--freeze", "conv*"],
    ] {
      #expect(try Tool.run(words, in: folder.url).status == 0)
    }
    let fresh = try ModelCatalog.entry(named: "lenet5").makeModel(registry: .standard)
    func elements(_ model: Model, _ key: String) throws -> [Float] {
      try #require(model.parameters[key]).elements(as: Float.self)
    }
    func load(_ name: String) throws -> Model {
      try ModelFile.load(path: folder.path(name), registry: .standard)
    }
    let (free, frozen) = (try load("a"), try load("b"))
    #expect(try elements(frozen, "conv2.weight") == elements(fresh, "conv2.weight"))
    #expect(try elements(free, "conv2.weight") != elements(fresh, "conv2.weight"))
    #expect(try elements(frozen, "fc2.weight") != elements(fresh, "fc2.weight"))
  }

  @Test func sizePlateauAndSmoothingReachTheTrainer() throws {
    let folder = try digits()
    let outcome = try Tool.run(
      "train", "cifar_resnet8", "digits", "-o", "a", "--epochs", "5", "--size", "12", "--optimizer",
      "rmsprop", "--momentum", "0.5", "--rho", "0.8", "--learning-rate", "1e-9", "--schedule",
      "plateau", "--patience", "2", "--label-smoothing", "0.2", "--lighting", "0.1", "--json",
      "--freeze", "*bn*",
      in: folder.url)
    #expect(outcome.status == 0, "\(outcome.errors)")
    let rates = try outcome.output.split(separator: "\n").map {
      try #require(
        try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])["learning_rate"]
        as? Double
    }
    #expect(rates.map { (($0 ?? 0) * 1e10).rounded() } == [10, 10, 10, 1, 1])
    let model = try ModelFile.load(path: folder.path("a"), registry: .standard)
    #expect(model.metadata.preprocessing?.outputSize == .init(height: 12, width: 12))
  }

  @Test func whatMakesNoSenseIsRefusedBeforeAnyWork() throws {
    let folder = try digits()
    func errors(_ words: String...) throws -> String {
      let outcome = try Tool.run(words, in: folder.url)
      #expect(outcome.status != 0 && outcome.output.isEmpty)
      return outcome.errors
    }
    let train = ["train", "lenet5", "digits", "-o", "x"]
    #expect(
      try errors("train", "lenet5", "digits")
        == "lamina train: option '-o, --output FILE' is missing; see 'lamina train --help'\n")
    #expect(
      try Tool.run(train + ["--optimizer", "adan"], in: folder.url).errors
        == "lamina train: expected '--optimizer' of sgd, rmsprop, adam, adamw, nadam, found 'adan'; see 'lamina train --help'\n"
    )
    #expect(
      try Tool.run(train + ["--learning-rate", "-1"], in: folder.url).errors
        == "lamina train: expected '--learning-rate' of at least 0, found '-1'; see 'lamina train --help'\n"
    )
    for (words, problem) in [
      (
        ["--momentum", "0.9"], "'--momentum' makes no sense with adam, only with sgd and rmsprop"
      ),
      (
        ["--optimizer", "sgd", "--rho", "0.9"], "'--rho' makes no sense with sgd, only with rmsprop"
      ),
      (
        ["--optimizer", "sgd", "--momentum", "1"],
        "expected '--momentum' of at least 0 and below 1, found '1'"
      ),
      (["--patience", "2"], "'--patience' makes no sense without '--schedule plateau'"),
      (
        ["--label-smoothing", "x"],
        "expected '--label-smoothing' of at least 0 and below 1, found 'x'"
      ),
    ] {
      #expect(
        try Tool.run(train + words, in: folder.url).errors
          == "lamina train: \(problem); see 'lamina train --help'\n")
    }
    #expect(
      try Tool.run(train + ["--freeze", "conv9"], in: folder.url).errors.contains("'conv9'"))
    #expect(
      try errors("train", "lenet5", "none", "-o", "x") == "lamina train: none: no such folder\n")
    #expect(
      try errors("eval", "lenet5", "digits/none") == "lamina eval: digits/none: no such folder\n")
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.url.path) == ["digits"])
  }
}
