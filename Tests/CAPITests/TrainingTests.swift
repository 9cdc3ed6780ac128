import CLamina
import Foundation
import LaminaTestSupport
import Testing

/// What a progress function was told, and what it does about it.
private final class Watcher {
  var lines: [String] = []
  /// Called with the number of the event, from 1; returns whether to go on.
  var decide: (Int, lamina_progress) -> Bool = { _, _ in true }

  static let function: lamina_on_progress = { user, progress in
    guard let user, let progress = progress?.pointee else { return 1 }
    let watcher = Unmanaged<Watcher>.fromOpaque(user).takeUnretainedValue()
    let event = ["", "batch", "epoch", "features"][Int(progress.event)]
    let stage = progress.stage.map { String(cString: $0) } ?? ""
    watcher.lines.append("\(stage) \(event) \(progress.epoch) \(progress.step)/\(progress.steps)")
    return watcher.decide(watcher.lines.count, progress) ? 0 : 1
  }

  var user: UnsafeMutableRawPointer { Unmanaged.passUnretained(self).toOpaque() }
}

@Suite struct TrainingTests {
  private let fixture: Fixture

  init() throws { fixture = try Fixture() }

  private func trainer(
    data: lamina_dataset? = nil, _ edit: (inout lamina_trainer_options) -> Void = { _ in }
  ) throws -> lamina_trainer {
    var options = trainerOptions()
    options.epochs = 2
    options.batch_size = 4
    edit(&options)
    var made: lamina_trainer = 0
    try succeed {
      lamina_trainer_create(fixture.fitting, data ?? fixture.dataset, 0, &options, &made, $0)
    }
    return made
  }

  private func refusal(_ edit: (inout lamina_trainer_options) -> Void) -> Failure? {
    var options = trainerOptions()
    edit(&options)
    var made: lamina_trainer = 0xA5
    let found = failure {
      lamina_trainer_create(fixture.fitting, fixture.dataset, 0, &options, &made, $0)
    }
    if found == nil { lamina_trainer_release(made) } else { #expect(made == 0xA5) }
    return found
  }

  private func text(_ trainer: lamina_trainer, _ which: Int) throws -> String {
    var needed = 0
    try succeed { lamina_trainer_get_text(trainer, Int32(which), nil, 0, &needed, $0) }
    var buffer = [CChar](repeating: 0, count: needed)
    try succeed { lamina_trainer_get_text(trainer, Int32(which), &buffer, needed, nil, $0) }
    return String(decoding: buffer.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  private func saved(_ model: lamina_model) throws -> Data {
    let path = fixture.folder + "/\(model)"
    try succeed { lamina_model_save(model, path, $0) }
    lamina_model_release(model)
    return try Data(contentsOf: URL(filePath: path))
  }

  private func weights(of trainer: lamina_trainer) throws -> Data {
    var model: lamina_model = 0
    try succeed { lamina_trainer_make_model(trainer, &model, $0) }
    return try saved(model)
  }

  private func value(_ trainer: lamina_trainer, _ key: String, _ which: Int = LAMINA_TRAINER_VALUE)
    throws -> [Float]
  {
    var target = lamina_tensor()
    #expect(
      failure { lamina_trainer_get_tensor(trainer, Int32(which), key, &target, $0) }?.status
        == LAMINA_ERROR_BUFFER)
    var result = [Float](repeating: .nan, count: target.needed / 4)
    let size = target.needed
    try result.withUnsafeMutableBytes { bytes in
      target.data = bytes.baseAddress
      target.byte_count = size
      try succeed { lamina_trainer_get_tensor(trainer, Int32(which), key, &target, $0) }
    }
    return result
  }

  // MARK: Data

  @Test func foldersOfPicturesAreRead() throws {
    var dataset: lamina_dataset = 0
    try succeed { lamina_dataset_open(fixture.context, fixture.photos, nil, &dataset, $0) }
    defer { lamina_dataset_release(dataset) }
    var info = lamina_dataset_info()
    info.struct_size = UInt32(MemoryLayout<lamina_dataset_info>.size)
    try succeed { lamina_dataset_get_info(dataset, &info, $0) }
    // All pictures are one, which is on one side alone.
    #expect(info.training_count + info.validation_count == 20)
    let labels = (0..<info.label_count).map { info.labels[$0].map { String(cString: $0) } }
    #expect(labels == (0..<10).map { "\($0)" })
    #expect(info.broken_count == 0)
  }

  @Test func brokenPicturesAreListed() throws {
    try Data("no picture".utf8).write(to: URL(filePath: fixture.photos + "/3/x.png"))
    var dataset: lamina_dataset = 0
    let found = failure {
      lamina_dataset_open(fixture.context, fixture.photos, nil, &dataset, $0)
    }
    #expect(found?.status == LAMINA_ERROR_IMAGE)
    #expect(found?.message.contains("3/x.png") == true)
    var options = lamina_dataset_options()
    options.struct_size = UInt32(MemoryLayout<lamina_dataset_options>.size)
    options.broken = Int32(LAMINA_BROKEN_SKIP)
    options.hold_out = -1
    try succeed { lamina_dataset_open(fixture.context, fixture.photos, &options, &dataset, $0) }
    defer { lamina_dataset_release(dataset) }
    var buffer = [CChar](repeating: 0, count: 999)
    try succeed { lamina_dataset_get_broken(dataset, &buffer, 999, nil, $0) }
    #expect(String(cString: buffer).contains("3/x.png"))
    var info = lamina_dataset_info()
    info.struct_size = UInt32(MemoryLayout<lamina_dataset_info>.size)
    try succeed { lamina_dataset_get_info(dataset, &info, $0) }
    #expect(info.training_count == 20 && info.validation_count == 0 && info.broken_count == 1)
  }

  @Test func whatIsNoDataIsRefused() throws {
    func open(_ path: String, _ edit: (inout lamina_dataset_options) -> Void = { _ in }) -> String?
    {
      var options = lamina_dataset_options()
      options.struct_size = UInt32(MemoryLayout<lamina_dataset_options>.size)
      edit(&options)
      var dataset: lamina_dataset = 0
      return failure {
        lamina_dataset_open(fixture.context, path, &options, &dataset, $0)
      }?.message
    }
    #expect(open("/no/such") == "/no/such: no such folder")
    let empty = fixture.folder + "/empty"
    try FileManager.default.createDirectory(
      atPath: empty + "/one", withIntermediateDirectories: true)
    #expect(
      open(empty)?.contains(
        "expected a folder for each of at least two classes, found the one folder 'one'") == true)
    for broken in [Int32(-1), 3, .max] {
      #expect(
        open(fixture.photos) { $0.broken = broken }
          == "options.broken: expected a policy of lamina_training.h, found \(broken)")
    }
    for percent in [Int32(-2), 91, .min] {
      #expect(
        open(fixture.photos) { $0.hold_out = percent }
          == "options.hold_out: expected -1...90 per cent, found \(percent)")
    }
    #expect(
      open(fixture.photos) { $0.reserved = 1 } == "options.reserved: expected 0, found 1")
  }

  @Test func sourcesThatMakeNoSenseAreRefused() throws {
    func refusal(_ edit: (inout lamina_dataset_source) -> Void) -> Failure? {
      var dataset: lamina_dataset = 0xA5
      let found = fixture.withSource(edit) { source in
        failure { lamina_dataset_create(fixture.context, source, &dataset, $0) }
      }
      if found == nil { lamina_dataset_release(dataset) } else { #expect(dataset == 0xA5) }
      return found
    }
    #expect(
      refusal { $0.items = nil }
        == Failure(LAMINA_ERROR_ARGUMENT, "source: expected items or read, found NULL"))
    #expect(
      refusal { $0.classes = nil }
        == Failure(LAMINA_ERROR_ARGUMENT, "source.classes: expected a pointer, found NULL"))
    #expect(
      refusal { $0.validation_count = 12 }
        == Failure(
          LAMINA_ERROR_ARGUMENT,
          "source.validation_count: expected less to check with than the 12 items, found 12"))
    for rank in [Int32(-1), 8, .max, .min] {
      #expect(refusal { $0.rank = rank }?.status == LAMINA_ERROR_SHAPE)
    }
    for extent in [Int64(0), -1, .max, .min, 1 << 40] {
      #expect(refusal { $0.shape.2 = extent } != nil)
    }
    for count in [0, -1, Int.max, .min] { #expect(refusal { $0.count = count } != nil) }
    #expect(
      refusal { $0.label_count = 9 }
        == Failure(
          LAMINA_ERROR_ARGUMENT, "source.classes[9]: expected a class from 0 to 8, found 9"))
    let classes = [Int32](repeating: -1, count: 12)
    classes.withUnsafeBufferPointer { classes in
      #expect(
        refusal { $0.classes = classes.baseAddress }
          == Failure(
            LAMINA_ERROR_ARGUMENT, "source.classes[0]: expected a class from 0 to 9, found -1"))
    }
    #expect(
      refusal { source in
        source.items =
          source.items.map { UnsafePointer(bitPattern: UInt(bitPattern: $0) + 2) } ?? nil
      } == Failure(LAMINA_ERROR_ARGUMENT, "source.items: expected data aligned to 4 bytes"))
  }

  /// Counts calls of a source's functions.
  private final class Reader {
    var reads: [Int] = []
    var releases = 0
    var refuses = false
  }

  @Test func itemsOfCallbacksTrainAsThoseInMemory() throws {
    let reader = Reader()
    var dataset: lamina_dataset = 0
    try succeed { error in
      fixture.withSource { source in
        source.items = nil
        source.user = Unmanaged.passUnretained(reader).toOpaque()
        source.release = { user in
          guard let user else { return }
          Unmanaged<Reader>.fromOpaque(user).takeUnretainedValue().releases += 1
        }
        source.read = { user, index, item in
          guard let user, let item = item?.pointee, let data = item.data else { return 1 }
          let reader = Unmanaged<Reader>.fromOpaque(user).takeUnretainedValue()
          reader.reads.append(index)
          if reader.refuses { return 7 }
          guard item.extents == [1, 28, 28], item.byte_count == 3136 else { return 2 }
          let target = data.assumingMemoryBound(to: Float.self)
          for place in 0..<784 {
            target[place] =
              place / 28 == 2 * (index % 10) ? 2 : Float((index * 784 + place) % 7) / 16
          }
          return 0
        }
      } _: {
        lamina_dataset_create(fixture.context, $0, &dataset, error)
      }
    }
    let ours = try trainer(data: dataset)
    lamina_dataset_release(dataset)
    try succeed { lamina_trainer_fit(ours, nil, nil, nil, $0) }
    #expect(reader.reads.count == 24)
    let theirs = try trainer()
    try succeed { lamina_trainer_fit(theirs, nil, nil, nil, $0) }
    #expect(try weights(of: ours) == weights(of: theirs))
    lamina_trainer_release(theirs)
    #expect(reader.releases == 0)
    lamina_trainer_release(ours)
    #expect(reader.releases == 1)
  }

  @Test func aReaderThatGivesUpEndsTheTraining() throws {
    let reader = Reader()
    var dataset: lamina_dataset = 0
    try succeed { error in
      fixture.withSource { source in
        source.items = nil
        source.user = Unmanaged.passUnretained(reader).toOpaque()
        source.read = { user, index, _ in index == 5 ? 7 : 0 }
      } _: {
        lamina_dataset_create(fixture.context, $0, &dataset, error)
      }
    }
    let made = try trainer(data: dataset)
    let before = try weights(of: made)
    var ending: Int32 = 77
    #expect(
      failure { lamina_trainer_fit(made, nil, nil, &ending, $0) }
        == Failure(LAMINA_ERROR_IO, "item 5: the caller's read gave up"))
    #expect(ending == 77)
    #expect(try weights(of: made).count == before.count)
    lamina_trainer_release(made)
    lamina_dataset_release(dataset)
  }

  // MARK: Options

  @Test func optionsThatMakeNoSenseAreRefused() {
    for value in [Int32(-1), 5, .max] {
      #expect(
        refusal { $0.optimizer = value }
          == Failure(
            LAMINA_ERROR_ARGUMENT,
            "options.optimizer: expected an optimizer of lamina_training.h, found \(value)"))
    }
    for value in [Int32(-1), 3, .min] {
      #expect(
        refusal { $0.schedule = value }
          == Failure(
            LAMINA_ERROR_ARGUMENT,
            "options.schedule: expected a schedule of lamina_training.h, found \(value)"))
    }
    for value in [-1, Double.nan, .infinity, -.infinity] {
      #expect(
        refusal { $0.learning_rate = value }
          == Failure(
            LAMINA_ERROR_ARGUMENT, "options.learning_rate: expected a number from 0, found \(value)"
          ))
      #expect(refusal { $0.weight_decay = value }?.status == LAMINA_ERROR_ARGUMENT)
      #expect(refusal { $0.label_smoothing = value }?.status == LAMINA_ERROR_ARGUMENT)
      #expect(refusal { $0.gradient_norm = value }?.status == LAMINA_ERROR_ARGUMENT)
    }
    #expect(
      refusal { $0.momentum = 1 }
        == Failure(
          LAMINA_ERROR_ARGUMENT,
          "options.momentum: expected a number from 0 and below 1.0, found 1.0"))
    #expect(refusal { $0.momentum = -1 } == nil)
    for value in [Int32(-2), -1, .max] {
      #expect(refusal { $0.epochs = value }?.status == LAMINA_ERROR_ARGUMENT)
    }
    for value in [-1, 65_537, Int.max] {
      #expect(
        refusal { $0.batch_size = value }
          == Failure(
            LAMINA_ERROR_ARGUMENT,
            "options.batch_size: expected 0...65536, found \(UInt(bitPattern: value))"))
    }
    #expect(
      refusal { $0.resume = 1 }
        == Failure(
          LAMINA_ERROR_ARGUMENT,
          "options.checkpoints: expected a folder of checkpoints to resume from, found NULL"))
    for value in [Int32(-1), 2] {
      #expect(refusal { $0.resume = value }?.status == LAMINA_ERROR_ARGUMENT)
      #expect(refusal { $0.strict = value }?.status == LAMINA_ERROR_ARGUMENT)
      #expect(refusal { $0.augment = value }?.status == LAMINA_ERROR_ARGUMENT)
    }
    #expect(
      refusal { $0.augment = 1 }
        == Failure(
          LAMINA_ERROR_ARGUMENT, "expected pictures to augment, found tensors of the caller"))
    #expect(refusal { $0.reserved = 1 }?.status == LAMINA_ERROR_ARGUMENT)
    #expect(refusal { $0.frozen_count = 1 }?.status == LAMINA_ERROR_ARGUMENT)
    #expect(refusal { $0.struct_size = 3 }?.status == LAMINA_ERROR_ARGUMENT)
    #expect(refusal { $0.struct_size = 8 } == nil)
  }

  @Test func classesMustBeThoseOfTheModel() throws {
    func create(_ labels: Int) throws -> Failure? {
      var dataset: lamina_dataset = 0
      try succeed { error in
        fixture.withSource(labels: labels) {
          $0.validation_count = 0
          if labels == 2 { $0.count = 2 }
        } _: {
          lamina_dataset_create(fixture.context, $0, &dataset, error)
        }
      }
      defer { lamina_dataset_release(dataset) }
      var made: lamina_trainer = 0
      let found = failure { lamina_trainer_create(fixture.fitting, dataset, 0, nil, &made, $0) }
      lamina_trainer_release(made)
      return found
    }
    #expect(try create(10) == nil)
    #expect(try create(0) == nil)
    #expect(
      try create(2)
        == Failure(
          LAMINA_ERROR_ARGUMENT,
          "data: expected the model's classes, 10 (0, 1, 2, ...), found 2 (0, 1): the head must be replaced"
        ))
  }

  // MARK: Trainers

  @Test func fitTellsHowItGoesAndKeepsTheHistory() throws {
    let made = try trainer()
    defer { lamina_trainer_release(made) }
    let watcher = Watcher()
    var ending: Int32 = 0
    try succeed { lamina_trainer_fit(made, Watcher.function, watcher.user, &ending, $0) }
    #expect(ending == LAMINA_ENDING_COMPLETED)
    #expect(
      watcher.lines == [
        "train batch 1 1/2", "train batch 1 2/2", "train epoch 1 2/2", "train batch 2 1/2",
        "train batch 2 2/2", "train epoch 2 2/2",
      ])
    let history = try #require(
      try JSONSerialization.jsonObject(with: Data(text(made, LAMINA_TRAINER_HISTORY).utf8))
        as? [[String: Double]])
    #expect(history.count == 2)
    #expect(
      Set(history[0].keys) == ["loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"])
    var score = lamina_score()
    score.struct_size = UInt32(MemoryLayout<lamina_score>.size)
    try succeed { lamina_trainer_evaluate(made, 0, &score, $0) }
    #expect(score.count == 4)
    #expect(abs(score.loss - (history[1]["val_loss"] ?? .nan)) < 1e-12)
    #expect(score.accuracy == history[1]["val_accuracy"])
    #expect(try text(made, LAMINA_TRAINER_MESSAGES) == "[]")
    for which in [Int32(0), 4, -1, .max] {
      #expect(
        failure { lamina_trainer_get_text(made, which, nil, 0, nil, $0) }
          == Failure(
            LAMINA_ERROR_ARGUMENT, "which: expected a text of lamina_training.h, found \(which)"))
    }
  }

  @Test func cancelledTrainingGoesOnAsIfNothingHadBeen() throws {
    let whole = try trainer()
    try succeed { lamina_trainer_fit(whole, nil, nil, nil, $0) }
    let parts = try trainer()
    let watcher = Watcher()
    watcher.decide = { number, _ in number != 1 && number != 4 }
    var endings: [Int32] = []
    for _ in 0..<3 {
      var ending: Int32 = 0
      try succeed { lamina_trainer_fit(parts, Watcher.function, watcher.user, &ending, $0) }
      endings.append(ending)
    }
    #expect(
      endings.map { Int($0) } == [
        LAMINA_ENDING_CANCELLED, LAMINA_ENDING_CANCELLED, LAMINA_ENDING_COMPLETED,
      ])
    #expect(watcher.lines.count == 6)
    #expect(try weights(of: parts) == weights(of: whole))
    lamina_trainer_release(parts)
    lamina_trainer_release(whole)
  }

  @Test func cancelEndsTheNextFitBehindItsFirstBatch() throws {
    let made = try trainer()
    defer { lamina_trainer_release(made) }
    try succeed { lamina_trainer_cancel(made, $0) }
    let watcher = Watcher()
    var ending: Int32 = 0
    try succeed { lamina_trainer_fit(made, Watcher.function, watcher.user, &ending, $0) }
    #expect(ending == LAMINA_ENDING_CANCELLED)
    #expect(watcher.lines == ["train batch 1 1/2"])
  }

  @Test func progressMayCancelAndReleaseItsTrainerButNotUseIt() throws {
    let made = try trainer()
    let watcher = Watcher()
    var found: [Failure?] = []
    watcher.decide = { number, _ in
      guard number == 1 else { return true }
      var model: lamina_model = 0
      found.append(failure { lamina_trainer_make_model(made, &model, $0) })
      found.append(failure { lamina_trainer_fit(made, nil, nil, nil, $0) })
      found.append(failure { lamina_trainer_cancel(made, $0) })
      lamina_trainer_release(made)
      found.append(failure { lamina_trainer_cancel(made, $0) })
      return true
    }
    var ending: Int32 = 0
    try succeed { lamina_trainer_fit(made, Watcher.function, watcher.user, &ending, $0) }
    #expect(ending == LAMINA_ENDING_CANCELLED)
    let busy = Failure(LAMINA_ERROR_BUSY, "the trainer is in use by another call")
    #expect(found.prefix(3) == [busy, busy, nil])
    #expect(found[3]?.status == LAMINA_ERROR_HANDLE)
  }

  @Test func frozenMeansFrozen() throws {
    let made = try trainer { $0.learning_rate = 0.1 }
    defer { lamina_trainer_release(made) }
    try succeed { lamina_trainer_freeze(made, "*", $0) }
    #expect(
      failure { lamina_trainer_fit(made, nil, nil, nil, $0) }
        == Failure(
          LAMINA_ERROR_ARGUMENT, "expected parameters that learn, found all of them frozen"))
    let other = try trainer { $0.learning_rate = 0.1 }
    defer { lamina_trainer_release(other) }
    try succeed { lamina_trainer_freeze_trunk(other, $0) }
    let parameters = try text(other, LAMINA_TRAINER_PARAMETERS)
    #expect(
      parameters
        == #"[{"key":"fc3.weight","role":"weight","shape":[10,84]},{"key":"fc3.bias","role":"weight","shape":[10]}]"#
    )
    try succeed { lamina_trainer_unfreeze(other, "*", $0) }
    try succeed { lamina_trainer_freeze_up_to(other, "conv2", $0) }
    try succeed { lamina_trainer_freeze(other, "*.bias", $0) }
    let before = try value(other, "conv2.weight")
    let bias = try value(other, "fc1.bias")
    let free = try value(other, "fc3.weight")
    try succeed { lamina_trainer_fit(other, nil, nil, nil, $0) }
    #expect(try value(other, "conv2.weight") == before)
    #expect(try value(other, "fc1.bias") == bias)
    #expect(try value(other, "fc3.weight") != free)
    #expect(
      failure { lamina_trainer_freeze(other, "fc3", $0) }
        == Failure(
          LAMINA_ERROR_STATE, "expected a trainer before its first step, found one behind it"))
    let third = try trainer()
    defer { lamina_trainer_release(third) }
    #expect(
      failure { lamina_trainer_freeze(third, "none*", $0) }
        == Failure(LAMINA_ERROR_ARGUMENT, "no node or parameter matches 'none*'"))
    #expect(
      failure { lamina_trainer_freeze_up_to(third, "conv3", $0) }?.message
        .hasPrefix("no layer is named 'conv3', nearest is 'conv") == true)
  }

  @Test func checkpointsAreGoneOnWith() throws {
    let whole = try trainer()
    try succeed { lamina_trainer_fit(whole, nil, nil, nil, $0) }
    let folder = fixture.folder + "/saved"
    func part(resumes: Bool) throws -> lamina_trainer {
      try folder.withCString { folder in
        try trainer {
          $0.checkpoints = folder
          $0.resume = resumes ? 1 : 0
        }
      }
    }
    let first = try part(resumes: false)
    try succeed { lamina_trainer_cancel(first, $0) }
    try succeed { lamina_trainer_fit(first, nil, nil, nil, $0) }
    lamina_trainer_release(first)
    let refused = try part(resumes: false)
    let found = failure { lamina_trainer_fit(refused, nil, nil, nil, $0) }
    #expect(found?.message.contains("expected a folder without checkpoints") == true)
    lamina_trainer_release(refused)
    let second = try part(resumes: true)
    try succeed { lamina_trainer_fit(second, nil, nil, nil, $0) }
    #expect(try weights(of: second) == weights(of: whole))
    lamina_trainer_release(second)
    lamina_trainer_release(whole)
  }

  // MARK: Steps

  @Test func stepsOfOnesOwnFollowTheGradient() throws {
    let made = try trainer(data: 0) {
      $0.optimizer = Int32(LAMINA_OPTIMIZER_SGD)
      $0.momentum = -1
      $0.learning_rate = 0.5
    }
    defer { lamina_trainer_release(made) }
    #expect(
      failure { lamina_trainer_fit(made, nil, nil, nil, $0) }
        == Failure(LAMINA_ERROR_STATE, "expected a trainer with data, found one without"))
    #expect(
      failure { lamina_trainer_apply(made, $0) }
        == Failure(LAMINA_ERROR_STATE, "expected a pass since the last step, found none"))
    var losses: [Double] = []
    for _ in 0..<4 {
      losses.append(try step(made))
      let before = try value(made, "fc3.bias")
      let gradient = try value(made, "fc3.bias", LAMINA_TRAINER_GRADIENT)
      try succeed { lamina_trainer_apply(made, $0) }
      let after = try value(made, "fc3.bias")
      for place in 0..<10 {
        #expect(abs(after[place] - (before[place] - 0.5 * gradient[place])) < 1e-6)
      }
    }
    #expect(losses[3] < losses[0])
    #expect(
      failure {
        var target = lamina_tensor()
        return lamina_trainer_get_tensor(
          made, Int32(LAMINA_TRAINER_GRADIENT), "fc3.bia", &target, $0)
      } == Failure(LAMINA_ERROR_NOT_FOUND, "no parameter is named 'fc3.bia', nearest is 'fc3.bias'")
    )
  }

  private func step(
    _ trainer: lamina_trainer,
    edit: (inout lamina_tensor, inout lamina_tensor) -> Void = { _, _ in }
  ) throws -> Double {
    var loss = 0.0
    try succeed { error in self.step(trainer, &loss, error, edit: edit) }
    return loss
  }

  private func step(
    _ trainer: lamina_trainer, _ loss: UnsafeMutablePointer<Double>,
    _ error: UnsafeMutablePointer<lamina_error>,
    edit: (inout lamina_tensor, inout lamina_tensor) -> Void
  ) -> lamina_status {
    var pixels = (0..<2 * 784).map { Float($0 % 11) / 11 }
    var classes = [Int64(1), 2]
    return pixels.withUnsafeMutableBytes { pixels in
      classes.withUnsafeMutableBytes { classes in
        var input = tensor(
          [2, 1, 28, 28], LAMINA_FLOAT32, pixels.baseAddress, byteCount: pixels.count)
        var labels = tensor([2], LAMINA_INT64, classes.baseAddress, byteCount: classes.count)
        edit(&input, &labels)
        return lamina_trainer_step(trainer, &input, 1, &labels, loss, error)
      }
    }
  }

  @Test func batchesThatMakeNoSenseAreRefused() throws {
    let made = try trainer(data: 0)
    defer { lamina_trainer_release(made) }
    func refusal(_ edit: (inout lamina_tensor, inout lamina_tensor) -> Void) -> String? {
      var loss = 77.0
      let found = failure { step(made, &loss, $0, edit: edit) }
      #expect((found == nil) == (loss != 77))
      return found?.message
    }
    #expect(refusal { _, _ in } == nil)
    #expect(
      refusal { input, _ in input.byte_count -= 1 }
        == "input input: expected 6272 bytes for float32 [2, 1, 28, 28], found 6271")
    #expect(refusal { input, _ in input.data = nil } == "input input: expected data, found NULL")
    #expect(
      refusal { input, _ in input.type = 99 }
        == "input input: expected an element type of lamina.h, found 99")
    for rank in [Int32(-1), 9, .max] { #expect(refusal { input, _ in input.rank = rank } != nil) }
    for extent in [Int64(-1), 0, .max] {
      #expect(refusal { input, _ in input.shape.0 = extent } != nil)
    }
    #expect(refusal { input, _ in (input.shape.0, input.byte_count) = (0, 0) } != nil)
    #expect(
      refusal { _, labels in (labels.type, labels.byte_count) = (Int32(LAMINA_UINT8), 2) }
        == "labels: expected int32, int64 or float32, found uint8")
    #expect(
      refusal { _, labels in (labels.shape.0, labels.byte_count) = (1, 8) }?
        .hasSuffix("expected 2 labels, found 1") == true)
    #expect(
      refusal { _, labels in
        labels.data?.storeBytes(of: Int64.max, as: Int64.self)
      }?.contains("expected a class from 0 to 9") == true)
    "other".withCString { name in
      #expect(refusal { input, _ in input.name = name } == "no input is named 'other'")
    }
    #expect(
      refusal { input, _ in
        input.data?.storeBytes(of: Float.nan, as: Float.self)
      }?.hasPrefix("expected a finite loss with finite gradients, found") == true)
    #expect(refusal { _, _ in } == nil)
    try succeed { lamina_trainer_apply(made, $0) }
  }

  // MARK: Fine-tuning

  private func fineTune(
    _ watcher: Watcher, ending: UnsafeMutablePointer<Int32>? = nil,
    _ edit: (inout lamina_finetune_options) -> Void = { _ in }
  ) throws -> Data {
    var options = lamina_finetune_options()
    options.struct_size = UInt32(MemoryLayout<lamina_finetune_options>.size)
    options.head_epochs = 2
    var training = trainerOptions()
    training.epochs = 1
    training.batch_size = 4
    training.seed = 3
    var result: lamina_model = 0
    try withUnsafePointer(to: training) { training in
      options.trainer = training
      edit(&options)
      try succeed {
        lamina_finetune(
          fixture.fitting, fixture.dataset, 0, &options, Watcher.function, watcher.user, &result,
          ending, $0)
      }
    }
    return try saved(result)
  }

  @Test func theRecipeTrainsTheHeadAndThenAll() throws {
    let watcher = Watcher()
    var ending: Int32 = 0
    let first = try fineTune(watcher, ending: &ending)
    #expect(ending == LAMINA_ENDING_COMPLETED)
    #expect(
      watcher.lines == [
        "head features 0 4/8", "head features 0 8/8", "head batch 1 1/2", "head batch 1 2/2",
        "head epoch 1 2/2", "head batch 2 1/2", "head batch 2 2/2", "head epoch 2 2/2",
        "all batch 1 1/2", "all batch 1 2/2", "all epoch 1 2/2",
      ])
    #expect(try fineTune(Watcher()) == first)
    for stop in 1...3 {
      let watcher = Watcher()
      watcher.decide = { number, _ in number != stop }
      _ = try fineTune(watcher, ending: &ending)
      #expect(ending == LAMINA_ENDING_CANCELLED)
      #expect(watcher.lines.count == stop)
    }
    let head = Watcher()
    _ = try fineTune(head) { $0.head_epochs = -1 }
    #expect(head.lines == ["all batch 1 1/2", "all batch 1 2/2", "all epoch 1 2/2"])
  }

  @Test func recipesThatMakeNoSenseAreRefused() throws {
    func refusal(_ edit: (inout lamina_finetune_options) -> Void) -> String? {
      var options = lamina_finetune_options()
      options.struct_size = UInt32(MemoryLayout<lamina_finetune_options>.size)
      edit(&options)
      var result: lamina_model = 0xA5
      let found = failure {
        lamina_finetune(fixture.fitting, fixture.dataset, 0, &options, nil, nil, &result, nil, $0)
      }
      #expect(result == 0xA5)
      return found?.message
    }
    for epochs in [Int32(-2), .max] {
      #expect(
        refusal { $0.head_epochs = epochs }
          == "options.head_epochs: expected -1...1000000, found \(epochs)")
    }
    for factor in [-1, Double.nan, .infinity] {
      #expect(
        refusal { $0.gentle_factor = factor }
          == "options.gentle_factor: expected a number from 0, found \(factor)")
    }
  }
}
