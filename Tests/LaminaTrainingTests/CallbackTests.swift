import Foundation
import Lamina
import LaminaTestSupport
import Testing

struct CallbackTests {
  /// Hands another callback numbers of our own behind each epoch.
  private final class Scripted: TrainingCallback {
    let inner: any TrainingCallback
    let numbers: [Double]
    var rates: [Double] = []
    var weights: [[Float]] = []
    init(_ inner: any TrainingCallback, _ numbers: [Double]) {
      self.inner = inner
      self.numbers = numbers
    }
    func epochEnds(_ trainer: Trainer, _ logs: TrainingLogs) throws {
      weights.append(trainer.session.weights[0].value.elements(as: Float.self))
      try inner.epochEnds(trainer, ["val_loss": numbers[trainer.epoch], "val_accuracy": 0])
      rates.append(trainer.learningRate)
    }
    func trainingEnds(_ trainer: Trainer) throws { try inner.trainingEnds(trainer) }
  }

  private func run(_ callback: any TrainingCallback, _ numbers: [Double]) throws -> (
    Trainer, Scripted, TrainingEnding
  ) {
    let scripted = Scripted(callback, numbers)
    var options = TrainerTests.options(epochs: numbers.count, batchSize: 8)
    options.optimizer = SGD(learningRate: 1)
    let trainer = try Trainer(
      model: network(), data: Points(count: 8), options: options, callbacks: [scripted])
    return (trainer, scripted, try trainer.fit())
  }

  @Test func earlyStoppingWaits() throws {
    let numbers: [Double] = [5, 4, 4.5, 4.2, 3, 6, 7, 8, 2]
    var (trainer, scripted, ending) = try run(EarlyStopping(patience: 3), numbers)
    #expect(ending == .stopped(by: "EarlyStopping"))
    #expect(scripted.weights.count == 8)
    #expect(trainer.session.weights[0].value.elements(as: Float.self) == scripted.weights[7])
    (trainer, scripted, ending) = try run(
      EarlyStopping(patience: 3, restoresBestWeights: true), numbers)
    #expect(trainer.session.weights[0].value.elements(as: Float.self) == scripted.weights[4])
    (_, scripted, _) = try run(EarlyStopping(), numbers)
    #expect(scripted.weights.count == 3)
    (_, scripted, _) = try run(EarlyStopping(minimumDelta: 2, patience: 2), numbers)
    #expect(scripted.weights.count == 3)
    (_, scripted, _) = try run(EarlyStopping(patience: 2, baseline: 3.5), numbers)
    #expect(scripted.weights.count == 3)
    (_, scripted, _) = try run(EarlyStopping(patience: 1, firstEpoch: 3), numbers)
    #expect(scripted.weights.count == 6)
    (_, scripted, _) = try run(EarlyStopping(mode: .max), numbers)
    #expect(scripted.weights.count == 2)
    // Also where nothing stops it.
    (trainer, scripted, ending) = try run(
      EarlyStopping(patience: 9, restoresBestWeights: true), numbers.dropLast())
    #expect(ending == .completed)
    #expect(trainer.session.weights[0].value.elements(as: Float.self) == scripted.weights[4])
  }

  @Test func bestWeightsComeBackBehindAnError() throws {
    struct Gone: Error {}
    let scripted = Scripted(EarlyStopping(patience: 9, restoresBestWeights: true), [1, 2, 3])
    var options = TrainerTests.options(epochs: 3, batchSize: 8)
    options.optimizer = SGD(learningRate: 1)
    let trainer = try Trainer(
      model: network(), data: Points(count: 8), options: options, callbacks: [scripted])
    #expect(throws: Gone.self) {
      try trainer.fit { if $0.epoch == 2 { throw Gone() } else { true } }
    }
    #expect(trainer.session.weights[0].value.elements(as: Float.self) == scripted.weights[0])
  }

  @Test func learningRatesFallOnPlateaus() throws {
    func rates(_ callback: ReduceLROnPlateau, _ numbers: [Double]) throws -> [Double] {
      try run(callback, numbers).1.rates.map { ($0 * 1e6).rounded() / 1e6 }
    }
    #expect(
      try rates(ReduceLROnPlateau(patience: 2), [3, 2, 2, 2, 2, 2, 1])
        == [1, 1, 1, 0.1, 0.1, 0.01, 0.01])
    #expect(
      try rates(ReduceLROnPlateau(factor: 0.5, patience: 1, cooldown: 2), [2, 2, 2, 2, 2, 2])
        == [1, 0.5, 0.5, 0.25, 0.25, 0.125])
    #expect(
      try rates(ReduceLROnPlateau(patience: 1, minimumRate: 0.05), [2, 2, 2, 2])
        == [1, 0.1, 0.05, 0.05])
    #expect(
      try rates(ReduceLROnPlateau(patience: 1, minimumDelta: 0.5), [2, 1.6, 1, 0.9])
        == [1, 0.1, 0.1, 0.01])
  }

  @Test func modelsAreSavedWhenTold() throws {
    final class Saved {
      var paths: [String] = []
    }
    func paths(_ numbers: [Double], bestOnly: Bool, threshold: Double? = nil) throws -> [String] {
      let saved = Saved()
      _ = try run(
        ModelCheckpoint(
          path: "net-{epoch:02}-{val_loss:.3}.safetensors", savesBestOnly: bestOnly,
          initialThreshold: threshold
        ) { model, path in
          #expect(model.parameters["head.weight"] != nil)
          saved.paths.append(path)
        }, numbers)
      return saved.paths
    }
    #expect(
      try paths([1.25, 2, 0.0625], bestOnly: false) == [
        "net-01-1.250.safetensors", "net-02-2.000.safetensors", "net-03-0.063.safetensors",
      ])
    #expect(
      try paths([1.25, 2, -0.5], bestOnly: true) == [
        "net-01-1.250.safetensors", "net-03--0.500.safetensors",
      ])
    #expect(
      try paths([1.25, 2, 0.5], bestOnly: true, threshold: 1) == ["net-03-0.500.safetensors"])
    let saved = Saved()
    var options = TrainerTests.options(epochs: 2, batchSize: 8)
    options.seed = 1
    try Trainer(
      model: network(), data: Points(count: 40), options: options,
      callbacks: [ModelCheckpoint(path: "{epoch}", everyBatches: 4) { saved.paths.append($1) }]
    ).fit()
    #expect(saved.paths == ["1", "2"])
    expectError(
      .argument, "expected a name among epoch, val_accuracy, val_loss, found 'x'", path: "a{x}b"
    ) { try run(ModelCheckpoint(path: "a{x}b") { _, _ in }, [1]) }
    expectError(
      .argument, "expected a monitor among val_accuracy, val_loss, found 'top5'"
    ) { try run(EarlyStopping(monitor: "top5"), [1]) }
  }

  @Test func logsBecomeLines() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/log.csv"
      func fit(_ callback: CSVLogger, epochs: Int) throws -> [TrainingLogs] {
        let trainer = try Trainer(
          model: network(), data: Points(count: 16),
          options: TrainerTests.options(epochs: epochs), callbacks: [callback])
        try trainer.fit()
        return trainer.history
      }
      func line(_ epoch: Int, _ logs: TrainingLogs) -> String {
        "\(epoch);\(logs["accuracy"] ?? 0);\(logs["learning_rate"] ?? 0);\(logs["loss"] ?? 0)"
      }
      let history = try fit(CSVLogger(path: path, separator: ";"), epochs: 2)
      var expected = ["epoch;accuracy;learning_rate;loss"]
      expected += history.enumerated().map { line($0, $1) }
      func lines() throws -> [String] {
        try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").map(String.init)
      }
      #expect(try lines() == expected)
      let more = try fit(CSVLogger(path: path, separator: ";", appends: true), epochs: 1)
      #expect(try lines() == expected + [line(0, more[0])])
      _ = try fit(CSVLogger(path: path), epochs: 1)
      #expect(try lines().count == 2)
    }
  }

  /// Reads the records of an event file: tag, value and step, and the checksums.
  private func points(_ folder: String) throws -> [String] {
    let names = try FileManager.default.contentsOfDirectory(atPath: folder)
    #expect(names.count == 1)
    let bytes = [UInt8](
      try Data(contentsOf: URL(filePath: "\(folder)/\(names.first ?? "")")))
    func crc(_ bytes: ArraySlice<UInt8>) -> UInt32 {
      var crc: UInt32 = ~0
      for byte in bytes {
        crc ^= UInt32(byte)
        for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0x82F6_3B78 : crc >> 1 }
      }
      crc = ~crc
      return (crc >> 15 | crc << 17) &+ 0xA282_EAD8
    }
    func number(_ offset: Int, _ count: Int) -> Int {
      (0..<count).reduce(0) { $0 | Int(bytes[offset + $1]) << (8 * $1) }
    }
    var result: [String] = []
    var offset = 0
    while offset < bytes.count {
      let length = number(offset, 8)
      #expect(UInt32(number(offset + 8, 4)) == crc(bytes[offset..<offset + 8]))
      let data = bytes[offset + 12..<offset + 12 + length]
      #expect(UInt32(number(offset + 12 + length, 4)) == crc(data))
      offset += 16 + length
      #expect(data.first == 9)
      let rest = Array(data.dropFirst(9))
      if rest.first == 26 {
        result.append(String(decoding: rest.dropFirst(2), as: UTF8.self))
      } else {
        // step, summary { value { tag, simple_value } }
        #expect([rest[0], rest[2], rest[4], rest[6]] == [16, 42, 10, 10])
        let end = 8 + Int(rest[7])
        #expect(rest[end] == 21)
        let value = (0..<4).reduce(UInt32(0)) { $0 | UInt32(rest[end + 1 + $1]) << (8 * $1) }
        let tag = String(decoding: rest[8..<end], as: UTF8.self)
        result.append("\(rest[1]) \(tag) \(Float(bitPattern: value))")
      }
    }
    return result
  }

  @Test func eventFilesHoldTheLogs() throws {
    try withTemporaryFolder { folder in
      let trainer = try Trainer(
        model: network(), data: Points(count: 16), validation: Points(count: 8),
        options: TrainerTests.options(epochs: 2),
        callbacks: [TensorBoard(folder: "\(folder)/logs", everyBatches: 2)])
      try trainer.fit()
      func value(_ epoch: Int, _ name: String) -> Float { Float(trainer.history[epoch][name] ?? 0) }
      let train = try points("\(folder)/logs/train")
      #expect(train.first == "brain.Event:2")
      #expect(
        train.filter { $0.contains("epoch_") }
          == (0..<2).flatMap { epoch in
            ["accuracy", "learning_rate", "loss"].map {
              "\(epoch) epoch_\($0) \(value(epoch, $0))"
            }
          })
      #expect(train.filter { $0.contains("batch_loss") }.count == 1)
      #expect(
        try Array(points("\(folder)/logs/validation").dropFirst())
          == (0..<2).flatMap { epoch in
            ["accuracy", "loss"].map { "\(epoch) epoch_\($0) \(value(epoch, "val_\($0)"))" }
          })
    }
  }
}
