import Foundation
import Lamina
import LaminaTestSupport
import Testing

struct CheckpointTests {
  private static func checkpoint(_ number: Float = 1) throws -> Checkpoint {
    Checkpoint(
      state: .object(["step": .int(3), "name": .string("é\n")]),
      tensors: [
        "b": try Tensor([2, 3], [1, 2, number, .nan, .infinity, -0.0]),
        "a": try Tensor([0], [Float]()),
      ])
  }

  private static func bits(_ checkpoint: Checkpoint) -> [String: [UInt32]] {
    checkpoint.tensors.mapValues { $0.elements(as: Float.self).map(\.bitPattern) }
  }

  @Test func filesReadBack() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/a.safetensors"
      let written = try Self.checkpoint()
      try written.write(to: path)
      let read = try Checkpoint(path: path)
      #expect(read.state == written.state)
      #expect(Self.bits(read) == Self.bits(written))
      // It is a file of weights like any other.
      let weights = try SafeTensors(ByteSource(path: path))
      #expect(Set(weights.keys) == ["a", "b", "checkpoint.crc32c"])
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["a.safetensors"])
      expectError(
        .argument, "expected a float32 tensor of another name, found 'n'"
      ) {
        try Checkpoint(state: .null, tensors: ["n": Tensor([1], [Int64(1)])]).write(to: path)
      }
      #expect(Self.bits(try Checkpoint(path: path)) == Self.bits(written))
    }
  }

  @Test func everyChangedBitIsFound() throws {
    try withTemporaryFolder { folder in
      let path = "\(folder)/a.safetensors"
      try Self.checkpoint().write(to: path)
      let bytes = try Data(contentsOf: URL(filePath: path))
      #expect(bytes.count < 600)
      for index in bytes.indices {
        for bit in 0..<8 {
          var changed = bytes
          changed[index] ^= 1 << bit
          try changed.write(to: URL(filePath: path))
          do {
            _ = try Checkpoint(path: path)
            Issue.record("bit \(bit) of byte \(index) was not missed")
          } catch let error as LaminaError { #expect(error.code == .format) }
        }
      }
      for count in 0..<bytes.count {
        try bytes.prefix(count).write(to: URL(filePath: path))
        do {
          _ = try Checkpoint(path: path)
          Issue.record("\(count) bytes were enough")
        } catch let error as LaminaError { #expect(error.code == .format) }
      }
    }
  }

  @Test func twoAreKeptAndTheNewestIsNamed() throws {
    try withTemporaryFolder { folder in
      let store = try CheckpointFolder(path: "\(folder)/a/b")
      #expect(try store.latest() == nil)
      for step in [5, 20, 100] { try store.save(Self.checkpoint(Float(step)), step: step) }
      #expect(
        try store.names() == [
          "checkpoint-000000000100.safetensors", "checkpoint-000000000020.safetensors",
        ])
      #expect(
        try String(contentsOfFile: "\(folder)/a/b/LATEST", encoding: .utf8)
          == "checkpoint-000000000100.safetensors\n")
      let found = try #require(try store.latest())
      #expect(found.checkpoint.tensors["b"]?.elements(as: Float.self)[2] == 100)
      #expect(found.messages.isEmpty)
      expectError(.busy, "another training writes checkpoints here") {
        try CheckpointFolder(path: "\(folder)/a/b")
      }
      // A second training from an older one forgets those of the future.
      try store.save(Self.checkpoint(30), step: 30)
      #expect(
        try store.names() == [
          "checkpoint-000000000030.safetensors", "checkpoint-000000000020.safetensors",
        ])
    }
  }

  @Test func aForkedProcessDoesNotKeepTheFolderBusy() throws {
    try withTemporaryFolder { folder in
      var store: CheckpointFolder? = try CheckpointFolder(path: folder)
      let child = fork()
      if child == 0 {
        alarm(60)
        while true { pause() }
      }
      try #require(child > 0)
      defer {
        kill(child, SIGKILL)
        waitpid(child, nil, 0)
      }
      #expect(try store?.names() == [])
      store = nil
      _ = try CheckpointFolder(path: folder)
    }
  }

  @Test func brokenOnesArePassedOverWithAMessage() throws {
    try withTemporaryFolder { folder in
      let names = [
        "checkpoint-000000000002.safetensors", "checkpoint-000000000001.safetensors",
      ]
      do {
        let store = try CheckpointFolder(path: folder)
        for step in [1, 2] { try store.save(Self.checkpoint(Float(step)), step: step) }
      }
      func breakFile(_ name: String) throws {
        let url = URL(filePath: "\(folder)/\(name)")
        var bytes = try Data(contentsOf: url)
        bytes[bytes.count / 2] ^= 0x40
        try bytes.write(to: url)
      }
      try Data().write(to: URL(filePath: "\(folder)/\(names[0]).77.0.tmp"))
      try breakFile(names[0])
      let store = try CheckpointFolder(path: folder)
      #expect(!FileManager.default.fileExists(atPath: "\(folder)/\(names[0]).77.0.tmp"))
      let found = try #require(try store.latest())
      #expect(found.name == names[1])
      #expect(found.checkpoint.tensors["b"]?.elements(as: Float.self)[2] == 1)
      #expect(found.messages.count == 2)
      #expect(found.messages[0].hasPrefix("\(folder)/\(names[0]): expected crc32c "))
      #expect(found.messages[1] == "going on from \(names[1])")
      try FileManager.default.removeItem(atPath: "\(folder)/LATEST")
      #expect(
        try store.latest()?.messages.first == "\(folder)/LATEST names no checkpoint")
      try breakFile(names[1])
      do {
        _ = try store.latest()
        Issue.record("nothing was readable")
      } catch let error as LaminaError { #expect(error.path == "\(folder)/\(names[0])") }
    }
  }

  // MARK: - Resuming

  private static func options(
    _ folder: String?, epochs: Int = 3, resumes: Bool = true, everySteps: Int? = 1
  ) -> TrainerOptions {
    var options = TrainerTests.options(epochs: epochs, batchSize: 8)
    options.optimizer = Nadam(learningRate: 0.02)
    options.schedule = WarmUpSchedule(steps: 5, then: CosineSchedule())
    options.clipping = .globalNorm(1)
    options.averageDecay = 0.8
    options.nonFinite = .rollback
    if let folder {
      var checkpoints = CheckpointOptions(folder: folder)
      checkpoints.resumes = resumes
      checkpoints.everySteps = everySteps
      options.checkpoints = checkpoints
    }
    return options
  }

  private static func trainer(_ options: TrainerOptions, broken: Int? = nil) throws -> Trainer {
    var data = Points(count: 44, jitters: true)
    data.broken = broken
    return try Trainer(
      model: network(), data: data, validation: Points(count: 30, seed: 5), options: options,
      callbacks: [
        EarlyStopping(patience: 50, restoresBestWeights: true),
        ReduceLROnPlateau(patience: 1, minimumDelta: 0.5),
      ])
  }

  private static func result(_ trainer: Trainer) throws -> [String: [Float]] {
    var result = TrainerTests.learned(trainer)
    for (index, tensor) in (trainer.average?.tensors ?? []).enumerated() {
      result["average \(index)"] = tensor.elements(as: Float.self)
    }
    for (index, tensor) in trainer.optimizer.tensors.joined().enumerated() {
      result["state \(index)"] = tensor.elements(as: Float.self)
    }
    return result
  }

  struct Break: Sendable {
    /// Batches for one step of the optimizer.
    var accumulated: Int
    /// Batches that a trainer lives.
    var batches: Int
    /// Steps between checkpoints; nil: epochs.
    var everySteps: Int?
  }

  /// Trainers are left behind some batches, as if their process had gone, and others go on.
  @Test(arguments: [
    Break(accumulated: 1, batches: 1, everySteps: 1),
    Break(accumulated: 1, batches: 4, everySteps: 3),
    Break(accumulated: 2, batches: 2, everySteps: 1),
    Break(accumulated: 2, batches: 5, everySteps: 2), Break(accumulated: 1, batches: 7),
    Break(accumulated: 2, batches: 8),
  ]) func resumingGivesTheBitsOfOneRun(_ test: Break) throws {
    struct Gone: Error {}
    func options(_ folder: String) -> TrainerOptions {
      var options = Self.options(folder, everySteps: test.everySteps)
      options.accumulatedBatches = test.accumulated
      return options
    }
    for broken in [nil, 20] {
      try withTemporaryFolder { folder in
        let whole = try Self.trainer(options("\(folder)/whole"), broken: broken)
        #expect(try whole.fit() == .completed)
        #expect(whole.messages.count == (broken == nil ? 0 : 3))
        var attempts = 0
        while true {
          attempts += 1
          try #require(attempts < 60)
          let trainer = try Self.trainer(options("\(folder)/parts"), broken: broken)
          var batches = 0
          do {
            _ = try trainer.fit { _ in
              batches += 1
              if batches > test.batches { throw Gone() }
              return true
            }
            #expect(try Self.result(trainer) == Self.result(whole))
            #expect(trainer.history == whole.history)
            break
          } catch is Gone {}
        }
        #expect(attempts > 2)
      }
    }
  }

  @Test func whoCancelsGoesOnLater() throws {
    let whole = try Self.trainer(Self.options(nil))
    try whole.fit()
    try withTemporaryFolder { folder in
      let options = Self.options(folder, everySteps: nil)
      do {
        let trainer = try Self.trainer(options)
        var batches = 0
        let ending = try trainer.fit { _ in
          batches += 1
          return batches < 9
        }
        #expect(ending == .cancelled)
        #expect(batches == 9)
      }
      let trainer = try Self.trainer(options)
      #expect(trainer.epoch == 1)
      #expect(trainer.batch == 3)
      #expect(try trainer.fit() == .completed)
      #expect(try Self.result(trainer) == Self.result(whole))
    }
  }

  @Test func othersTrainingsAreNotResumed() throws {
    try withTemporaryFolder { folder in
      try Self.trainer(Self.options(folder, epochs: 1)).fit()
      func text(_ change: (inout TrainerOptions) -> Void) -> String {
        var options = Self.options(folder)
        change(&options)
        do {
          _ = try Self.trainer(options)
          return "none"
        } catch { return "\(error)" }
      }
      #expect(text { _ in } == "none")
      #expect(text { $0.seed = 9 }.contains("with seed '9', found '3'"))
      #expect(text { $0.batchSize = 9 }.contains("with configuration 'optimizer Nadam("))
      #expect(
        text { $0.checkpoints?.resumes = false }
          == "\(folder): expected a folder without checkpoints, found checkpoint-000000000006.safetensors"
      )
      do {
        _ = try Trainer(
          model: network(), data: Points(count: 43), options: Self.options(folder))
        Issue.record("other data were accepted")
      } catch { #expect("\(error)".contains("with data 'points 43 7', found 'points 44 7'")) }
      do {
        var data = Points(count: 44)
        data.jitters = true
        _ = try Trainer(model: network(), data: data, options: Self.options(folder))
        Issue.record("other callbacks were accepted")
      } catch { #expect("\(error)".contains("expected 0 callbacks, found 2")) }
    }
  }

  @Test func whatCannotBeSavedIsSaid() throws {
    try withTemporaryFolder { folder in
      var options = Self.options(folder, epochs: 1)
      let trainer = try Self.trainer(options)
      try FileManager.default.removeItem(atPath: folder)
      expectError(.notFound, "no such file or directory; there is no checkpoint yet") {
        try trainer.fit()
      }
      options.checkpoints?.goesOnWithout = true
      let other = try Self.trainer(options)
      try FileManager.default.removeItem(atPath: folder)
      #expect(try other.fit() == .completed)
      #expect(other.messages.count == 6)
      #expect(other.messages.first?.hasPrefix("no checkpoint at step 1: \(folder)/") == true)
      try FileManager.default.createDirectory(
        atPath: folder, withIntermediateDirectories: true)
    }
  }
}
