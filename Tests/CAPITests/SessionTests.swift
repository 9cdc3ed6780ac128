import AllocationCounter
import CLamina
import Foundation
import LaminaTestSupport
import Testing

@Suite struct SessionTests {
  /// Inputs and outputs of the digits model in memory between fences.
  private final class Buffers {
    let batch: Int
    let input: Guarded<Float>
    let output: Guarded<Float>

    init(batch: Int = 1, outputCount: Int? = nil) {
      self.batch = batch
      input = Guarded(max(batch * 784, 1))
      output = Guarded(outputCount ?? max(batch * 10, 1))
      for index in 0..<batch * 784 { input.pointer[index] = Float(index % 97) / 97 }
    }

    var given: lamina_tensor {
      tensor(
        [Int64(batch), 1, 28, 28], LAMINA_FLOAT32, input.pointer, byteCount: batch * 784 * 4)
    }

    var wanted: lamina_tensor {
      tensor([], 0, output.pointer, byteCount: output.bytes.count)
    }

    func run(_ session: lamina_session) -> Failure? {
      var given = given
      var wanted = wanted
      return failure { lamina_session_run(session, &given, 1, &wanted, 1, $0) }
    }

    /// What the last run gave.
    var results: [Float] { Array(UnsafeBufferPointer(start: output.pointer, count: batch * 10)) }
  }

  private func options(
    _ change: (inout lamina_session_options) -> Void
  ) -> lamina_session_options {
    var options = lamina_session_options()
    options.struct_size = UInt32(MemoryLayout<lamina_session_options>.size)
    change(&options)
    return options
  }

  @Test func optionsHaveRanges() throws {
    let fixture = try Fixture()
    func create(_ change: (inout lamina_session_options) -> Void) -> Failure? {
      var options = options(change)
      var session: lamina_session = 0
      let found = failure { lamina_session_create(fixture.model, &options, &session, $0) }
      lamina_session_release(session)
      return found
    }
    for level in [LAMINA_OPTIMIZATION_FULL, LAMINA_OPTIMIZATION_BASIC, LAMINA_OPTIMIZATION_NONE] {
      #expect(create { $0.optimization = Int32(level) } == nil)
    }
    for level in [3, -1, Int(Int32.max)] {
      #expect(
        create { $0.optimization = Int32(level) }
          == Failure(
            LAMINA_ERROR_ARGUMENT, "expected an optimization of lamina.h, found \(level)"))
    }
    #expect(create { $0.strict = 1 } == nil)
    #expect(
      create { $0.strict = -1 }
        == Failure(LAMINA_ERROR_ARGUMENT, "expected strict of 0 or 1, found -1"))
    #expect(create { $0.threads = 1 } == nil)
    #expect(
      create { $0.threads = 257 }
        == Failure(LAMINA_ERROR_ARGUMENT, "expected 0...256 threads, found 257"))
    #expect(
      create { $0.output_count = 1 }
        == Failure(LAMINA_ERROR_ARGUMENT, "outputs: expected a pointer, found NULL"))
    ["relu1", "relu9"].withCStrings { names in
      #expect(
        create { $0.outputs = names.baseAddress }
          == Failure(LAMINA_ERROR_ARGUMENT, "outputs: expected at least 1 output, found 0"))
      #expect(
        create {
          $0.outputs = names.baseAddress
          $0.output_count = 2
        }?.message.hasPrefix("no value named 'relu9'") == true)
    }
  }

  @Test func resultsAreTheSameWithEveryOption() throws {
    let fixture = try Fixture()
    let buffers = Buffers(batch: 3)
    #expect(buffers.run(fixture.session) == nil)
    let expected = buffers.results
    for level in [LAMINA_OPTIMIZATION_BASIC, LAMINA_OPTIMIZATION_NONE] {
      for threads in [Int32(1), 3] {
        var options = options {
          $0.optimization = Int32(level)
          $0.threads = threads
          $0.strict = 1
        }
        var session: lamina_session = 0
        try succeed { lamina_session_create(fixture.model, &options, &session, $0) }
        defer { lamina_session_release(session) }
        #expect(buffers.run(session) == nil)
        for (a, b) in zip(buffers.results, expected) { #expect(abs(a - b) <= 1e-4) }
      }
    }
  }

  @Test func outputsFitTheirBuffersOrNothingIsWritten() throws {
    let fixture = try Fixture()
    for count in [1, 19, 20, 21] {
      let buffers = Buffers(batch: 2, outputCount: count)
      var given = buffers.given
      var wanted = buffers.wanted
      let found = failure { lamina_session_run(fixture.session, &given, 1, &wanted, 1, $0) }
      #expect(wanted.extents == [2, 10])
      #expect(wanted.needed == 80)
      #expect(wanted.type == LAMINA_FLOAT32)
      #expect(wanted.byte_count == 4 * count)
      #expect(buffers.output.fencesStand)
      if count < 20 {
        #expect(
          found
            == Failure(
              LAMINA_ERROR_BUFFER,
              "output output: expected 80 bytes for float32 [2, 10], found \(4 * count)"))
        #expect(buffers.output.isUntouched())
      } else {
        #expect(found == nil)
        #expect(buffers.output.isUntouched(from: 80))
      }
    }
    let buffers = Buffers()
    var given = buffers.given
    var wanted = buffers.wanted
    wanted.data = nil
    #expect(
      failure { lamina_session_run(fixture.session, &given, 1, &wanted, 1, $0) }
        == Failure(
          LAMINA_ERROR_BUFFER, "output output: expected 40 bytes for float32 [1, 10], found 0"))
    for byteCount in [-1, Int.min] {
      wanted = buffers.wanted
      wanted.byte_count = byteCount
      #expect(
        failure { lamina_session_run(fixture.session, &given, 1, &wanted, 1, $0) }
          == Failure(
            LAMINA_ERROR_ARGUMENT, "output output: expected a byte_count that fits memory"))
    }
    wanted = buffers.wanted
    wanted.type = Int32(LAMINA_INT64)
    #expect(
      failure { lamina_session_run(fixture.session, &given, 1, &wanted, 1, $0) }
        == Failure(LAMINA_ERROR_SHAPE, "output output: expected int64, found a result of float32"))
    wanted.type = 99
    #expect(
      failure { lamina_session_run(fixture.session, &given, 1, &wanted, 1, $0) }
        == Failure(
          LAMINA_ERROR_ARGUMENT, "output output: expected an element type of lamina.h, found 99"))
    #expect(buffers.output.isUntouched())
  }

  @Test func impossibleInputsAreRefusedBeforeAnythingRuns() throws {
    let fixture = try Fixture()
    let buffers = Buffers()
    func run(_ change: (inout lamina_tensor) -> Void) -> Failure? {
      var given = buffers.given
      change(&given)
      var wanted = buffers.wanted
      return failure { lamina_session_run(fixture.session, &given, 1, &wanted, 1, $0) }
    }
    func set(_ extents: [Int64]) -> (inout lamina_tensor) -> Void {
      { given in
        let old = given
        given = tensor(extents, LAMINA_FLOAT32, old.data, byteCount: old.byte_count)
      }
    }
    for rank in [Int32(9), -1, .max, .min] {
      #expect(
        run { $0.rank = rank }
          == Failure(LAMINA_ERROR_SHAPE, "input input: expected a rank in 0...8, found \(rank)"))
    }
    for extents: [Int64] in [
      [-1, 1, 28, 28], [.min, 1, 28, 28], [.max, 1, 28, 28], [1 << 31, 1, 28, 28],
      [1 << 30, 1 << 30, 1 << 30, 1 << 30], [(1 << 31) - 1, (1 << 31) - 1, 2, 2],
    ] {
      #expect(run(set(extents))?.status == LAMINA_ERROR_SHAPE, "\(extents)")
    }
    #expect(
      run(set([2, 1, 28, 28]))
        == Failure(
          LAMINA_ERROR_ARGUMENT,
          "input input: expected 6272 bytes for float32 [2, 1, 28, 28], found 3136"))
    #expect(run(set([1, 1, 28, 28, 1]))?.status == LAMINA_ERROR_SHAPE)
    #expect(run(set([1, 1, 14, 56]))?.status == LAMINA_ERROR_SHAPE)
    #expect(run(set([1, 28, 28, 1]))?.status == LAMINA_ERROR_SHAPE)
    for byteCount in [0, 3135, 3137, -1, Int.max] {
      #expect(run { $0.byte_count = byteCount }?.status == LAMINA_ERROR_ARGUMENT)
    }
    for type in [Int32(0), -1, 14, .max] {
      #expect(
        run { $0.type = type }
          == Failure(
            LAMINA_ERROR_ARGUMENT,
            "input input: expected an element type of lamina.h, found \(type)"))
    }
    #expect(run { $0.type = Int32(LAMINA_INT32) }?.status == LAMINA_ERROR_SHAPE)
    #expect(
      run { $0.data = nil }
        == Failure(LAMINA_ERROR_ARGUMENT, "input input: expected data, found NULL"))
    #expect(
      run { $0.data = $0.data.map { $0 + 1 } }
        == Failure(LAMINA_ERROR_ARGUMENT, "input input: expected data aligned to 4 bytes"))
    #expect(buffers.output.isUntouched())
    #expect(run { _ in } == nil)
  }

  @Test func countsAndNamesAreChecked() throws {
    let fixture = try Fixture()
    let buffers = Buffers()
    var inputs = [buffers.given, buffers.given]
    var outputs = [buffers.wanted, buffers.wanted]
    func run(_ inputCount: Int, _ outputCount: Int) -> Failure? {
      failure {
        lamina_session_run(fixture.session, &inputs, inputCount, &outputs, outputCount, $0)
      }
    }
    for count in [0, 2] {
      #expect(run(count, 1) == Failure(LAMINA_ERROR_ARGUMENT, "expected 1 inputs, found \(count)"))
      #expect(
        run(1, count) == Failure(LAMINA_ERROR_ARGUMENT, "expected 1...1 outputs, found \(count)"))
    }
    for count in [-1, Int.max] {
      #expect(
        run(count, 1)
          == Failure(LAMINA_ERROR_ARGUMENT, "inputs: expected a count that fits memory"))
      #expect(
        run(1, count)
          == Failure(LAMINA_ERROR_ARGUMENT, "outputs: expected a count that fits memory"))
    }
    "input".withCString { name in
      inputs[0].name = name
      #expect(run(1, 1) == nil)
    }
    "inputs".withCString { name in
      inputs[0].name = name
      #expect(
        run(1, 1)
          == Failure(LAMINA_ERROR_NOT_FOUND, "no input named 'inputs', nearest is 'input'"))
    }
    let broken: [CChar] = [-1, -2, 0]
    broken.withUnsafeBufferPointer { name in
      inputs[0].name = name.baseAddress
      #expect(
        run(1, 1) == Failure(LAMINA_ERROR_ARGUMENT, "name of an input: expected UTF-8 text"))
    }
    inputs[0].name = nil
    "nothing".withCString { name in
      outputs[0].name = name
      #expect(run(1, 1) == Failure(LAMINA_ERROR_NOT_FOUND, "no output named 'nothing'"))
    }
  }

  @Test func intermediateValuesComeInAnyOrder() throws {
    let fixture = try Fixture()
    var session: lamina_session = 0
    try ["relu1", "fc2", "output"].withCStrings { names in
      var options = options {
        $0.outputs = names.baseAddress
        $0.output_count = 3
      }
      try succeed { lamina_session_create(fixture.model, &options, &session, $0) }
    }
    defer { lamina_session_release(session) }
    let buffers = Buffers()
    let relu = Guarded<Float>(8 * 26 * 26)
    var given = buffers.given
    var reluTensor = tensor([], 0, relu.pointer, byteCount: relu.bytes.count)
    var shapes = [lamina_tensor](repeating: lamina_tensor(), count: 3)
    try succeed { lamina_session_output_shapes(session, &given, 1, &shapes, 3, $0) }
    #expect(shapes.map(\.extents) == [[1, 8, 26, 26], [1, 10], [1, 10]])
    #expect(shapes.map(\.needed) == [8 * 26 * 26 * 4, 40, 40])

    try "relu1".withCString { relu1 in
      try "output".withCString { output in
        var last = buffers.wanted
        last.name = output
        reluTensor.name = relu1
        var outputs = [last, reluTensor]
        try succeed { lamina_session_run(session, &given, 1, &outputs, 2, $0) }
        #expect(outputs[1].extents == [1, 8, 26, 26])
        outputs[1].name = output
        outputs[1].data = relu.bytes.baseAddress
        #expect(
          failure { lamina_session_run(session, &given, 1, &outputs, 2, $0) }
            == Failure(LAMINA_ERROR_ARGUMENT, "output output: found it twice"))
      }
    }
    let plain = Buffers()
    #expect(plain.run(fixture.session) == nil)
    for (a, b) in zip(plain.results, buffers.results) { #expect(abs(a - b) <= 1e-5) }
    for index in 0..<relu.count { #expect(relu.pointer[index] >= 0) }
  }

  @Test func memoryMayNotOverlap() throws {
    let fixture = try Fixture()
    let buffers = Buffers()
    var given = buffers.given
    var wanted = buffers.wanted
    for offset in [0, 4, 3132] {
      wanted.data = UnsafeMutableRawPointer(buffers.input.pointer) + offset
      wanted.byte_count = 40
      #expect(
        failure { lamina_session_run(fixture.session, &given, 1, &wanted, 1, $0) }
          == Failure(
            LAMINA_ERROR_ARGUMENT,
            "output output: expected memory of its own, found it overlaps an input"))
    }
    var session: lamina_session = 0
    try ["fc2", "output"].withCStrings { names in
      var options = options {
        $0.outputs = names.baseAddress
        $0.output_count = 2
      }
      try succeed { lamina_session_create(fixture.model, &options, &session, $0) }
    }
    defer { lamina_session_release(session) }
    var outputs = [buffers.wanted, buffers.wanted]
    #expect(
      failure { lamina_session_run(session, &given, 1, &outputs, 2, $0) }
        == Failure(
          LAMINA_ERROR_ARGUMENT,
          "output output: expected memory of its own, found it overlaps another output"))
  }

  @Test func emptyBatchesGiveEmptyResultsOrAreRefused() throws {
    let fixture = try Fixture()
    let buffers = Buffers(batch: 0)
    let found = buffers.run(fixture.session)
    #expect(found == nil || found?.status == LAMINA_ERROR_SHAPE)
    #expect(buffers.output.isUntouched())
  }

  @Test func explanationsNameTheSteps() throws {
    let fixture = try Fixture()
    var given = tensor([2, 1, 28, 28])
    var needed = 0
    try succeed { lamina_session_explain(fixture.session, &given, 1, nil, 0, &needed, $0) }
    var buffer = [CChar](repeating: 0, count: needed)
    try succeed {
      lamina_session_explain(fixture.session, &given, 1, &buffer, needed, nil, $0)
    }
    #expect(
      buffer.withUnsafeBufferPointer { $0.baseAddress.map { String(cString: $0) } }?.contains(
        "conv1") == true)
    #expect(
      failure { lamina_session_explain(fixture.session, &given, 1, &buffer, 1, &needed, $0) }
        == Failure(LAMINA_ERROR_BUFFER, "buffer: expected \(needed) bytes, found 1"))
  }

  @Test func predictionsAreProbabilitiesInOrder() throws {
    let fixture = try Fixture()
    for capacity in [1, 10, 99] {
      let top = Guarded<lamina_prediction>(capacity)
      var count = 0
      try succeed {
        lamina_session_predict(fixture.session, fixture.image, top.pointer, capacity, &count, $0)
      }
      #expect(count == min(capacity, 10))
      #expect(top.isUntouched(from: count * MemoryLayout<lamina_prediction>.stride))
      let found = (0..<count).map { top.pointer[$0] }
      #expect(found.map(\.probability) == found.map(\.probability).sorted(by: >))
      #expect(found.map { String(cString: $0.label) } == found.map { String($0.index) })
      if count == 10 { #expect(abs(found.reduce(0) { $0 + $1.probability } - 1) < 1e-5) }
    }
    var one = lamina_prediction()
    var count = 0
    #expect(
      failure {
        lamina_session_predict(fixture.session, fixture.image, &one, 0, &count, $0)
      } == Failure(LAMINA_ERROR_ARGUMENT, "capacity: expected a capacity of at least 1, found 0"))
    #expect(
      failure {
        lamina_session_predict(fixture.session, fixture.image, &one, -1, &count, $0)
      } == Failure(LAMINA_ERROR_ARGUMENT, "predictions: expected a count that fits memory"))
  }

  @Test func modelsWithoutLabelsPredictNumbers() throws {
    let fixture = try Fixture()
    var model: lamina_model = 0
    try succeed { lamina_model_with_labels(fixture.model, nil, 0, &model, $0) }
    var session: lamina_session = 0
    try succeed { lamina_session_create(model, nil, &session, $0) }
    lamina_model_release(model)
    defer { lamina_session_release(session) }
    var top = [lamina_prediction](repeating: lamina_prediction(), count: 10)
    var count = 0
    try succeed {
      lamina_session_predict_file(session, fixture.picture, &top, 10, &count, $0)
    }
    #expect(top.map { String(cString: $0.label) } == top.map { String($0.index) })
  }

  @Test func aSecondCallerIsToldThatTheSessionIsBusy() throws {
    let fixture = try Fixture()
    let session = fixture.session
    let isDone = Flag()
    let hasEnded = DispatchSemaphore(value: 0)
    // A thread of its own: tasks may wait for those of other tests.
    Thread {
      let buffers = Buffers(batch: 128)
      while !isDone.isSet { _ = buffers.run(session) }
      hasEnded.signal()
    }.start()
    let small = Buffers()
    var outcomes: Set<Int> = []
    let deadline = Date(timeIntervalSinceNow: 60)
    while !outcomes.contains(LAMINA_ERROR_BUSY), Date() < deadline {
      let found = small.run(session)
      outcomes.insert(found?.status ?? 0)
      if let found {
        #expect(
          found == Failure(LAMINA_ERROR_BUSY, "the session is in use by another call"))
      }
    }
    isDone.set()
    hasEnded.wait()
    withExtendedLifetime(fixture) {}
    #expect(outcomes.contains(LAMINA_ERROR_BUSY))
    #expect(small.run(session) == nil)
  }

  @Test func threadsWithSessionsOfTheirOwnAgree() async throws {
    let fixture = try Fixture()
    let expected = Buffers(batch: 2)
    #expect(expected.run(fixture.session) == nil)
    let answer = expected.results
    let model = fixture.model
    try await withThrowingTaskGroup(of: Bool.self) { group in
      for _ in 0..<8 {
        group.addTask {
          var session: lamina_session = 0
          try succeed { lamina_session_create(model, nil, &session, $0) }
          defer { lamina_session_release(session) }
          let buffers = Buffers(batch: 2)
          return (0..<50).allSatisfy { _ in
            buffers.run(session) == nil && buffers.results == answer
          }
        }
      }
      for try await agrees in group { #expect(agrees) }
    }
    withExtendedLifetime(fixture) {}
  }

  /// Unoptimised Swift allocates for closures.
  private static var isOptimized: Bool {
    #if DEBUG
      false
    #else
      true
    #endif
  }

  @Test(.enabled(if: isOptimized)) func runsOfKnownShapesAllocateNothing() throws {
    let fixture = try Fixture(threads: 1)
    var model: lamina_model = 0
    try succeed { lamina_model_create(fixture.context, "lenet5", 0, 0, &model, $0) }
    var session: lamina_session = 0
    try succeed { lamina_session_create(model, nil, &session, $0) }
    lamina_model_release(model)
    defer { lamina_session_release(session) }
    let buffers = Buffers(batch: 2)
    var given = buffers.given
    var wanted = buffers.wanted
    func run() -> lamina_status { lamina_session_run(session, &given, 1, &wanted, 1, nil) }
    for _ in 0..<3 { #expect(run() == LAMINA_OK) }
    let before = allocation_count_of_this_thread()
    var failures = 0
    for _ in 0..<100 where run() != LAMINA_OK { failures += 1 }
    let allocations = allocation_count_of_this_thread() - before
    #expect(failures == 0)
    #expect(allocations == 0, "\(allocations) allocations in 100 runs")
  }
}

/// A flag that one thread sets and another watches.
private final class Flag: @unchecked Sendable {
  private let lock = NSLock()
  private var value = false

  var isSet: Bool { lock.withLock { value } }
  func set() { lock.withLock { value = true } }
}
